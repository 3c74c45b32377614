"""A cluster of dask's: the files of one process, whichever worker is killed."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from support.batches import begun, files_of, small_slides

import glomseg
from glomseg import Listener, SegmentOptions
from glomseg.errors import RunError
from glomseg.runs import cluster
from glomseg.runs.run import load_run
from glomseg.runs.segmenter import Segmenter

CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def local_cluster(tmp_path):
    """A scheduler and two workers in processes of their own."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed (pip install '.[cluster]')")
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process.stdout.readline().strip(), process
        process.communicate("")


def test_a_cluster_without_workers_is_waited_for_aloud_and_not_for_ever(oracle_folder, tmp_path, monkeypatch) -> None:
    distributed = pytest.importorskip(
        "distributed", reason="dask.distributed is not installed (pip install '.[cluster]')"
    )
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.6)
    said: list[str] = []
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as empty:
        options = SegmentOptions(model=oracle_folder, device="cpu", scheduler=empty.scheduler_address)
        slides = small_slides(tmp_path / "in", 2)
        with pytest.raises(RunError, match=r"no worker came to `scheduler` .*give the same command again"):
            glomseg.segment_slides(slides, tmp_path / "out", options, listener=Listener(remark=said.append))
    assert sum("waiting for one" in text for text in said) == 1
    assert not glomseg.segment_slides(slides, tmp_path / "out", replace(options, scheduler=None)).failed


@pytest.mark.slow
def test_the_same_files_though_a_worker_is_killed(oracle_folder, tmp_path, local_cluster) -> None:
    address, process = local_cluster
    options = SegmentOptions(model=oracle_folder, device="cpu")
    slides = small_slides(tmp_path / "in", 8)
    parameters = Segmenter.load(options).parameters()
    whole, folder = begun(tmp_path / "whole", parameters), begun(tmp_path / "out", parameters)
    glomseg.segment_slides(slides, whole, options)
    killed, said = [], []

    def kill_one(name, record):
        if not killed:
            workers = [one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline())]
            killed.append(workers[0].pid)
            os.kill(workers[0].pid, signal.SIGKILL)

    heard = Listener(ended=kill_one, remark=said.append)
    result = glomseg.segment_slides(slides, folder, replace(options, scheduler=address), listener=heard)
    assert killed
    assert not result.failed, [record.reason for record in result.failed.values()]
    assert files_of(folder) == files_of(whole)
    assert list(load_run(folder).images) == list(load_run(whole).images)
    assert [text for text in said if "their dashboard is http://" in text]
    assert [text for text in said if "2 workers did 8 slides" in text]


@pytest.mark.slow
def test_a_cluster_computes_with_what_is_asked_for(oracle_folder, tmp_path, local_cluster) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed here")
    options = SegmentOptions(model=oracle_folder, device="cpu", backend="openvino")
    slides = small_slides(tmp_path / "in", 3)
    parameters = Segmenter.load(options).parameters()
    whole, folder = begun(tmp_path / "whole", parameters), begun(tmp_path / "out", parameters)
    assert not glomseg.segment_slides(slides, whole, options).failed
    assert not glomseg.segment_slides(slides, folder, replace(options, scheduler=local_cluster[0])).failed
    assert {record.computed_by for record in load_run(folder).images.values()} == {"openvino float32"}
    assert files_of(folder) == files_of(whole)


def test_no_scheduler_and_two_ways_at_once(oracle_folder, tmp_path, monkeypatch) -> None:
    with pytest.raises(RunError, match="`scheduler` and `workers`"):
        SegmentOptions(scheduler="tcp://localhost:1", workers=2)
    with pytest.raises(RunError, match="`cache` is a disk of this machine"):
        SegmentOptions(scheduler="tcp://localhost:1", cache=tmp_path)
    with pytest.raises(RunError, match="`slide_timeout` is for workers of this machine"):
        SegmentOptions(scheduler="tcp://localhost:1", slide_timeout=60.0)
    pytest.importorskip("distributed", reason="dask.distributed is not installed (pip install '.[cluster]')")
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    slides = small_slides(tmp_path / "in", 1)
    options = SegmentOptions(model=oracle_folder, device="cpu", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(RunError, match=r"no scheduler answers at `scheduler` tcp://127\.0\.0\.1:9"):
        glomseg.segment_slides(slides, tmp_path / "out", options)
