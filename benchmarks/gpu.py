"""What a GPU does with one large slide: how fast, what bounds it, and which way of feeding it pays.

    python benchmarks/gpu.py [--size 50000x50000] [--tiles FOLDER] [--device cuda] [--json FILE]

Makes a slide of real tissue (JPEG, 0.25 um/px, half tissue; generated tissue where FOLDER is not there), segments it
with the shipped model at its own 3 um/px and, with the same weights, at 1 and 0.5 um/px, and prints: slides a minute,
wall and CPU time of each stage, what the GPU did meanwhile, peak memory; the same with other ways of feeding, as
ratios to the default within this run; the network alone; several slides at once; and how far the masks agree with
those of the CPU in float32 (Dice). `--budget` seconds end it early, between two lines.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import torch
from make_large_slide import make_large_slide
from make_slide import TILES, size_px

from glomseg.models.pixels import read_for
from glomseg.models.predict import Model, load_model
from glomseg.models.store import find_model, load_network
from glomseg.segment.pipeline import SegmentSettings, _tiles, outline_map, segment_slide
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.read_ahead import read_ahead
from glomseg.segment.stream import Pace, pace_for, predict_tiles
from glomseg.segment.tiles import BLOCK, ReadingFrame
from glomseg.segment.tissue import find_tissue
from glomseg.slides.slide import open_slide

MODEL = "pas-starter"
DICE = 0.995
RESULTS: dict[str, object] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, default=TILES, help="a folder of tissue pictures at 0.5 um/px")
    parser.add_argument("--size", default="50000x50000", help="of the slide, in px")
    parser.add_argument("--folder", type=Path, default=Path(gettempdir()) / "glomseg-benchmark", help="keeps the slide")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--mpp", type=float, nargs="+", default=[3.0, 1.0, 0.5], help="um/px to read at")
    parser.add_argument("--variants-mpp", type=float, default=1.0, help="um/px at which ways of feeding are compared")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1e9, help="seconds after which nothing more is begun")
    parser.add_argument("--json", type=Path, help="write all numbers here too")
    parser.add_argument("--worker", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.start = start = time.perf_counter()
    options.slide = make_large_slide(options.folder, options.tiles, size=size_px(options.size))
    if options.worker is not None:
        as_worker(options)
        return
    machine(options, time.perf_counter() - start)
    with_gpu = options.device.startswith("cuda")
    sections: list[tuple[str, Callable[[argparse.Namespace], None]]] = [
        ("whole slides", whole_slides),
        ("agreement with the CPU in float32", agreement),
        ("stages alone", stages),
        ("network alone", network_alone),
        ("ways of feeding", feeding),
        ("several slides at once", at_once),
        *([("compiled", compiled)] if with_gpu else []),
    ]
    failed = []
    for title, section in sections:
        spent = time.perf_counter() - start
        if spent > options.budget:
            print(f"\n{title}: left out, {spent:.0f} s are spent")
            continue
        print(f"\n{title} ({spent:.0f} s so far)", flush=True)
        try:
            section(options)
        except Exception as error:  # the next section may still say something
            print(f"  FAILED: {type(error).__name__}: {error}\n{traceback.format_exc()[-1500:]}", flush=True)
            failed.append(title)
    print(f"\nall of it: {time.perf_counter() - start:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(RESULTS, indent=1))
    if failed:
        sys.exit(f"failed, see above: {', '.join(failed)}")


def over(options: argparse.Namespace) -> bool:
    """Tell whether the time is spent."""
    if time.perf_counter() - options.start < options.budget:
        return False
    print("  the rest is left out: the budget is spent", flush=True)
    return True


def say(section: str, name: str, **values: float) -> None:
    """Print a line of a table, and keep it."""
    RESULTS.setdefault(section, []).append({"name": name, **values})  # type: ignore[attr-defined]
    print(
        f"  {name:44}" + "  ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in values.items()), flush=True
    )


def machine(options: argparse.Namespace, made: float) -> None:
    device = options.device
    if device.startswith("cuda"):
        device = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    print(f"{device}; {os.cpu_count()} cores, {platform.processor() or platform.machine()}; torch {torch.__version__}")
    megabytes = options.slide.stat().st_size / 1e6
    print(f"{options.slide.name}, {megabytes:.0f} MB, made or found in {made:.1f} s", flush=True)
    RESULTS["machine"] = {"device": device, "cores": os.cpu_count(), "torch": torch.__version__}


def model_at(options: argparse.Namespace, mpp: float, dtype: torch.dtype | None = None, device: str = "") -> Model:
    """Load the shipped model as one that reads at `mpp`."""
    model = load_model(MODEL, device or options.device)
    if dtype is not None:
        model = Model(model.card, load_network(find_model(MODEL), model.card), model.device, dtype)
    model.card = dataclasses.replace(model.card, mpp=mpp)
    return model


def segment(options: argparse.Namespace, model: Model, pace: Pace | None = None):
    with open_slide(options.slide) as slide:
        return segment_slide(slide, model, SegmentSettings(), pace=pace)


class Timer:
    """Wall and CPU seconds of a process."""

    wall = cpu = 0.0


@contextmanager
def timed() -> Iterator[Timer]:
    timer, wall, cpu = Timer(), time.perf_counter(), time.process_time()
    yield timer
    timer.wall, timer.cpu = time.perf_counter() - wall, time.process_time() - cpu


def whole_slides(options: argparse.Namespace) -> None:
    for mpp in options.mpp:
        model = model_at(options, mpp)
        segment(options, model)  # libraries start, kernels are chosen, the file comes into memory
        rounds = []
        reset_peak(model)
        for _ in range(options.repeats):
            with timed() as timer:
                result = segment(options, model)
            rounds.append((timer.wall, timer.cpu))
        wall, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
        tissue = result.tissue_area_um2 / result.reading_mpp**2 / 1e6
        busy = device_seconds(options, model)
        say("whole slides", f"{mpp:g} um/px", wall_s=wall, slides_a_minute=60 / wall, cpu_s=cpu, tissue_mp=tissue)
        say("whole slides", "  of which", **{f"{key}_s": value for key, value in result.seconds.items()})
        say("whole slides", "  passes, outlines", passes=result.network_passes, outlines=len(result.glomeruli))
        if busy:
            say("whole slides", "  the GPU meanwhile", **busy)
        say("whole slides", "  peak memory, GB", host=peak_rss() / 1e9, **gpu_memory(model))
        print(f"    bound by {bound(wall, cpu, busy)}", flush=True)


def bound(wall: float, cpu: float, busy: dict[str, float]) -> str:
    """Say what is used most, of what there is."""
    used = cpu / wall
    shares = {
        f"the processors ({used:.1f} of {os.cpu_count()} busy)": used / (os.cpu_count() or 1),
        f"the GPU ({busy.get('kernels_s', 0) / wall:.0%} of the time)": busy.get("kernels_s", 0) / wall,
    }
    name = max(shares, key=lambda key: shares[key])
    return name if shares[name] > 0.6 else f"one thread of Python, or waiting; most used: {name}"


def device_seconds(options: argparse.Namespace, model: Model) -> dict[str, float]:
    """Add up what the GPU did while one slide was segmented; its own clock, so copies and kernels may overlap."""
    if model.device.type != "cuda":
        return {}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        segment(options, model)
        torch.cuda.synchronize()
    sums = dict.fromkeys(("upload_s", "download_s", "kernels_s"), 0.0)
    kinds: dict[str, float] = {}
    for event in profile.events():
        if event.device_type != torch.autograd.DeviceType.CUDA:
            continue
        seconds = (event.device_time_total if hasattr(event, "device_time_total") else event.cuda_time_total) / 1e6
        kind = "upload_s" if "HtoD" in event.name else "download_s" if "DtoH" in event.name else "kernels_s"
        sums[kind] += seconds
        kinds[event.name] = kinds.get(event.name, 0.0) + seconds
    for name in sorted(kinds, key=lambda key: -kinds[key])[:6]:
        print(f"      {kinds[name]:.4f} s  {name[:100]}")
    return sums


def agreement(options: argparse.Namespace) -> None:
    """Compare the masks at the card's threshold, tile by tile, with those of the CPU in float32."""
    mpp = max(options.mpp)
    reference = planes_of(options, model_at(options, mpp, torch.float32, "cpu"))
    for dtype in (None, torch.float32, torch.float16, torch.bfloat16):
        model = model_at(options, mpp, dtype)
        planes = planes_of(options, model)
        level = round(model.card.threshold * 255)
        both = ours = theirs = most = 0
        for place, values in planes.items():
            mine, other = values >= level, reference[place] >= level
            both, ours, theirs = both + int((mine & other).sum()), ours + int(mine.sum()), theirs + int(other.sum())
            most = max(most, int(np.abs(values.astype(np.int16) - reference[place]).max()))
        dice = 2 * both / (ours + theirs) if ours + theirs else 1.0
        name = f"{'default' if dtype is None else dtype} at {mpp:g} um/px"
        say("agreement", name, dice=dice, largest_difference_of_255=most, mask_px=theirs)
        if dice <= DICE:
            print(f"    BELOW {DICE}")


def planes_of(options: argparse.Namespace, model: Model, pace: Pace | None = None) -> dict[object, np.ndarray]:
    with open_slide(options.slide) as slide:
        frame = ReadingFrame.of(slide.width, slide.height, *slide.pixel_size, model.card.mpp)
        tiles = _tiles(find_tissue(slide).blocks(frame), model, SegmentSettings())
        return {
            (tile.x, tile.y): tile.core(values[0])
            for batch, planes in predict_tiles(slide, model, frame, tiles, pace=pace)
            for tile, values in zip(batch, planes, strict=True)
        }


def stages(options: argparse.Namespace) -> None:
    """Time each stage with nothing beside it."""
    mpp = options.variants_mpp
    model = model_at(options, mpp)
    pace = pace_for(model)
    with open_slide(options.slide) as slide:
        with timed() as timer:
            mask = find_tissue(slide)
        say("stages", "tissue", wall_s=timer.wall, cpu_s=timer.cpu)
        frame = ReadingFrame.of(slide.width, slide.height, *slide.pixel_size, mpp)
        wanted = mask.blocks(frame)
        with timed() as timer:
            tiles = _tiles(wanted, model, SegmentSettings())
        say("stages", "planning of tiles", wall_s=timer.wall, cpu_s=timer.cpu, tiles=len(tiles))
    for readers in sorted({1, 4, 8, 16, 32, pace.readers}):
        for averages in sorted({False, pace.averages}):
            if readers != pace.readers and averages != pace.averages:
                continue
            with open_slide(options.slide) as slide:
                slide.cache_bytes = 32_000_000 * max(2, readers)
                parts = [part for tile in tiles for part in slide.parts(tile.read_box(frame), mpp, pace.part_px)]

                def read(part, slide=slide, averages=averages):
                    return read_for(slide, part, averages=averages, pinned=pace.pinned) is not None

                with timed() as timer:
                    for _ in read_ahead(read, parts, threads=readers, most=3 * readers):
                        pass
            source = sum(part.rows.size * part.columns.size for part in parts) / 1e6
            where = "level's pixels" if averages else "averaged on the CPU"
            say(
                "stages",
                f"reading, {readers} threads, {where}",
                wall_s=timer.wall,
                cpu_s=timer.cpu,
                mp_a_second=source / timer.wall,
            )
    with open_slide(options.slide) as slide, ProbabilityMap(frame, 1, None) as values:
        planes = planes_of(options, model)
        with timed() as timer:
            for tile in tiles:
                rows, columns = frame.blocks[0] * BLOCK - tile.y, frame.blocks[1] * BLOCK - tile.x
                values.write(tile, planes[tile.x, tile.y][None, :rows, :columns])
        say("stages", "map", wall_s=timer.wall, cpu_s=timer.cpu)
        with timed() as timer:
            outlines, _ = outline_map(values, model.card, SegmentSettings())
        say("stages", "outlines", wall_s=timer.wall, cpu_s=timer.cpu, outlines=len(outlines))


def feeding(options: argparse.Namespace) -> None:
    """Read and predict with one thing different at a time; wall and CPU time as ratios to the default."""
    mpp = options.variants_mpp
    model = model_at(options, mpp)
    default = pace_for(model)
    ways: list[tuple[str, Model, dict[str, object]]] = [("default again", model, {})]
    ways += [(f"{n} reading threads", model, {"readers": n, "parts_ahead": 3 * n}) for n in (2, 4, 8, 32)]
    ways += [(f"parts of {px} px", model, {"part_px": px}) for px in (768, 3072)]
    ways += [
        ("averaged on the CPU", model, {"averages": False}),
        ("memory that is not pinned", model, {"pinned": False}),
        ("no batch in flight", model, {"in_flight": 0}),
        ("1 batch in flight", model, {"in_flight": 1}),
        ("4 batches in flight", model, {"in_flight": 4}),
        ("1 tile a batch", model, {"batch": 1}),
        ("batches of 64 MP", model, {"batch_px": 64_000_000}),
        *((str(dtype), model_at(options, mpp, dtype), {}) for dtype in (torch.float32, torch.bfloat16)),
    ]
    base_wall, base_cpu = median_of(options, model, default)
    say("feeding", "default", wall_s=base_wall, cpu_s=base_cpu)
    for name, other, changes in ways:
        if over(options):
            return
        wall, cpu = median_of(options, other, dataclasses.replace(default, **changes))
        say("feeding", name, wall_ratio=wall / base_wall, cpu_ratio=cpu / base_cpu)
    if model.device.type == "cuda" and not over(options):
        torch.backends.cudnn.benchmark = True
        wall, cpu = median_of(options, model, default, warm=2)
        torch.backends.cudnn.benchmark = False
        say("feeding", "cuDNN tries each shape", wall_ratio=wall / base_wall, cpu_ratio=cpu / base_cpu)


def median_of(options: argparse.Namespace, model: Model, pace: Pace, warm: int = 1) -> tuple[float, float]:
    """Return the wall and CPU seconds from the tissue to the probabilities of its tiles."""
    rounds = []
    for number in range(warm + options.repeats):
        with timed() as timer:
            planes_of(options, model, pace)
        if number >= warm:
            rounds.append((timer.wall, timer.cpu))
    wall, cpu = (statistics.median(values) for values in zip(*rounds, strict=True))
    return wall, cpu


def network_alone(options: argparse.Namespace) -> None:
    """Time the network and nothing else on pixels that lie on the device."""
    model = load_model(MODEL, options.device)
    ways: list[tuple[str, int, int, torch.dtype, torch.memory_format]] = []
    side = 2176 if model.device.type == "cuda" else 256
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for layout in (torch.contiguous_format, torch.channels_last):
            ways.append((f"{dtype} {str(layout).removeprefix('torch.')}, 1 x {side}²", 1, side, dtype, layout))
    half = torch.float16 if model.device.type == "cuda" else torch.float32
    for count, each in ((4, side), (1, side // 2), (8, side // 2), (1, side // 4), (8, side // 4), (32, side // 4)):
        ways.append((f"{half} channels_last, {count} x {each}²", count, each, half, torch.channels_last))
    for name, count, each, dtype, layout in ways:
        net = bare_network(model, dtype, layout)
        x = torch.rand(count, 3, each, each, device=model.device).to(dtype).to(memory_format=layout)
        say("network", name, mp_a_second=count * each**2 / 1e6 / seconds_of(lambda net=net, x=x: net(x), model))
    if model.device.type == "cuda":
        for count, each in ((1, side), (8, 544)):
            captured(model, count, each)
        net = bare_network(model, torch.float32, torch.channels_last)
        x = torch.rand(1, 3, side, side, device=model.device).to(memory_format=torch.channels_last)
        torch.backends.cudnn.allow_tf32 = False
        say("network", "float32 without TF32", mp_a_second=side**2 / 1e6 / seconds_of(lambda: net(x), model))
        torch.backends.cudnn.allow_tf32 = True


def captured(model: Model, count: int, side: int) -> None:
    """Capture the network's kernels as a graph, and time that beside launching them one by one."""
    net = bare_network(model, torch.float16, torch.channels_last)
    x = torch.rand(count, 3, side, side, device=model.device).half().to(memory_format=torch.channels_last)
    plain = seconds_of(lambda: net(x), model)
    with torch.inference_mode():
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            net(x)
    say("network", f"captured as a graph, {count} x {side}²", time_ratio=seconds_of(graph.replay, model) / plain)


def bare_network(model: Model, dtype: torch.dtype, layout: torch.memory_format) -> torch.nn.Module:
    net = load_network(find_model(MODEL), model.card).folded()
    return net.to(device=model.device, dtype=dtype).to(memory_format=layout)


def seconds_of(work: Callable[[], object], model: Model, rounds: int = 7) -> float:
    """Return the median time of one call, by the device's clock on a GPU."""
    times = []
    with torch.inference_mode():
        for number in range(3 + rounds):
            if model.device.type == "cuda":
                begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                begin.record()
                work()
                end.record()
                end.synchronize()
                taken = begin.elapsed_time(end) / 1e3
            else:
                start = time.perf_counter()
                work()
                taken = time.perf_counter() - start
            if number >= 3:
                times.append(taken)
    return statistics.median(times)


def compiled(options: argparse.Namespace) -> None:
    """Compile the network for one shape; that takes a while."""
    model = load_model(MODEL, options.device)
    x = torch.rand(1, 3, 2176, 2176, device=model.device).half().to(memory_format=torch.channels_last)
    net = bare_network(model, torch.float16, torch.channels_last)
    plain = seconds_of(lambda: net(x), model)
    start = time.perf_counter()
    fast = torch.compile(net)
    taken = seconds_of(lambda: fast(x), model)
    say("compiled", "torch.compile, 1 x 2176²", time_ratio=taken / plain, start_s=time.perf_counter() - start)


def at_once(options: argparse.Namespace) -> None:
    """Segment several slides at once, in threads of one process and in processes that share the device."""
    for mpp in sorted({max(options.mpp), options.variants_mpp}, reverse=True):
        model = model_at(options, mpp)
        segment(options, model)
        rate = 0.0
        for count in (1, 2, 4):
            with timed() as timer, ThreadPoolExecutor(count) as pool:
                list(pool.map(lambda _: segment(options, model), range(2 * count)))  # noqa: B023 (used at once)
            rate = rate or 60 * 2 / timer.wall
            minute = 60 * 2 * count / timer.wall
            name = f"{count} threads at {mpp:g} um/px"
            say("at once", name, slides_a_minute=minute, ratio=minute / rate, cpu_s_a_slide=timer.cpu / 2 / count)
        for count in (2, 4, 8):
            if over(options):
                return
            minute = processes(options, mpp, count)
            say("at once", f"{count} processes at {mpp:g} um/px", slides_a_minute=minute, ratio=minute / rate)


def processes(options: argparse.Namespace, mpp: float, count: int) -> float:
    """Return slides a minute of some processes that begin together once all are ready."""
    command = [sys.executable, __file__, "--worker", str(mpp), "--device", options.device, "--size", options.size]
    command += ["--folder", str(options.folder), "--tiles", str(options.tiles)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    start = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.stdout.readline()
    wall = time.perf_counter() - start
    for worker in workers:
        worker.communicate()
    return 60 * 2 * count / wall


def as_worker(options: argparse.Namespace) -> None:
    model = model_at(options, options.worker)
    segment(options, model)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(2):
        segment(options, model)
    print("done", flush=True)


def reset_peak(model: Model) -> None:
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def gpu_memory(model: Model) -> dict[str, float]:
    if model.device.type != "cuda":
        return {}
    return {"gpu": torch.cuda.max_memory_allocated() / 1e9, "gpu_reserved": torch.cuda.max_memory_reserved() / 1e9}


def peak_rss() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
