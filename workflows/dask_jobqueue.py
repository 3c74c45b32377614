# Tried with dask-jobqueue 0.9 on SLURM 22.05: one node, two jobs, six small slides.
"""Start workers of dask by SLURM, and have them do the slides of one `glomseg segment`.

    python workflows/dask_jobqueue.py /share/slides /share/results --species mouse

Needs dask-jobqueue beside glomseg[cluster]. Other engines: PBSCluster, SGECluster, LSFCluster take the same.
"""

import subprocess
import sys

from dask_jobqueue import SLURMCluster

JOBS = 4

if __name__ == "__main__":
    slides, results, *more = sys.argv[1:]
    # one worker a job: glomseg does one slide at a time in each, with all of its threads
    with SLURMCluster(cores=4, processes=1, memory="8GB", walltime="12:00:00") as cluster:
        cluster.scale(jobs=JOBS)
        cluster.wait_for_workers(1)
        command = ["glomseg", "segment", slides, "--output", results, "--scheduler", cluster.scheduler_address, *more]
        sys.exit(subprocess.run(command, check=False).returncode)
