"""Run: python3 -m unittest"""
import unittest

from work_stream import ClaimedJob, Fatal, Lease
from worker import find_broker, work


class Work(unittest.TestCase):
    def test_it_reads_an_image(self):
        lease = Lease(ClaimedJob())
        self.assertEqual(work({"image_path": "1.png"}, lease), {"text": "what stands on 1.png"})
        self.assertEqual(lease.progress.note, "reading")

    def test_an_empty_path_is_a_failure_for_good(self):
        with self.assertRaisesRegex(Fatal, "image_path is empty"):
            work({"image_path": ""}, Lease(ClaimedJob()))

    def test_it_stops_when_nobody_wants_the_result(self):
        lease = Lease(ClaimedJob())
        lease.stopped.set()
        with self.assertRaisesRegex(Fatal, "stopped"):
            work({"seconds": 600}, lease)


class Broker(unittest.TestCase):
    def test_settings_say_where_it_is(self):
        env = {"BROKER_URL": "http://a:1,http://b:1", "INTERNAL_WORKER_TOKEN": "secret", "DATA_DIR": "none"}
        self.assertEqual(find_broker(env), (["http://a:1", "http://b:1"], "secret"))

    def test_without_a_token_it_says_what_to_set(self):
        with self.assertRaisesRegex(SystemExit, "set INTERNAL_WORKER_TOKEN"):
            find_broker({"DATA_DIR": "none"})
