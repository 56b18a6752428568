"""The grpc stubs as a plugin of buf: grpcio-tools has that generator only inside its own protoc."""
import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
response = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
with tempfile.TemporaryDirectory() as folder:
    protos, out = Path(folder, "protos.binpb"), Path(folder, "out")
    out.mkdir()
    protos.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
    args = ["protoc", f"--descriptor_set_in={protos}", f"--grpc_python_out={out}", *request.file_to_generate]
    if protoc.main(args) != 0:
        sys.exit("protoc failed")
    for path in out.rglob("*.py"):
        response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text())
sys.stdout.buffer.write(response.SerializeToString())
