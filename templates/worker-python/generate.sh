# Makes gen/, the client that work_stream.py speaks by, of proto/. Run it in the project's environment: sh generate.sh
set -eu
cd "$(dirname "$0")"
mkdir -p gen
python3 -m grpc_tools.protoc -I proto --python_out=gen --pyi_out=gen --grpc_python_out=gen proto/aibroker/v1/*.proto
