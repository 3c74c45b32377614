"""A project under random work of people and runs: after each step, every command says what stands there.

What a person drew, changed or judged is after any run, import or undo as they left it; and what is measured, whose it
is, what people did since the last write, and what is taught, is counted here once more from the objects themselves.
"""

import json
import random

import pytest
from support.any_work import PLACES, look, work
from support.groovy import import_run
from support.runs import discs, made_run

from glomseg.errors import ProjectError
from glomseg.files import read_csv
from glomseg.qupath.objects import write_geojson
from glomseg.qupath.project import read_project
from glomseg.qupath.review_mark import REVIEWED
from glomseg.runs.reviewed import read_reviewed

pytestmark = [pytest.mark.qupath, pytest.mark.slow]
KEYS = ("1", "2")
STEPS = 14


class Life:
    """A project of which `touched` holds the ids that are a person's, and `written` what stood after our last write."""

    def __init__(self, project, process, glomseg, tables, seed):
        self.project, self.process, self.glomseg, self.tables = project, process, glomseg, tables
        self.random, self.runs, self.told = random.Random(seed), 0, []
        self.paths = {image.entry_id: image.path for image in read_project(project).images}
        content = json.loads(project.read_text("utf-8"))
        content["images"][0].setdefault("metadata", {})[REVIEWED] = "by AB"
        project.write_text(json.dumps(content), "utf-8")
        self.now = {key: self.look(key) for key in KEYS}
        self.touched = {key: set(self.now[key]) for key in KEYS}
        self.written = dict.fromkeys(KEYS)

    def look(self, key):
        return self.process.call(look, self.project, key, self.paths[key])

    def new_run(self, keys):
        self.runs += 1
        name = f"run-{self.runs}"
        made = made_run(self.project, name, [], keys=keys)
        for key in keys:
            spots = self.random.sample(PLACES, self.random.randint(6, 16))
            write_geojson(made.result_path(key), discs(name, spots, shift=self.random.choice((0, 6))))
        return name

    def collect(self):
        assert self.glomseg("collect", self.project, self.new_run(KEYS)).code == 0

    def import_by_script(self):
        key = self.random.choice(KEYS)
        self.process.call(import_run, self.project, key, self.new_run((key,)))

    def undo(self):
        self.glomseg("undo", self.project)

    def people_work(self):
        key = self.random.choice(KEYS)
        self.touched[key] |= self.process.call(work, self.project, key, self.paths[key], self.random.randrange(10**9))

    def step(self):
        steps = [self.collect] * 2 + [self.import_by_script, self.undo] + [self.people_work] * 4
        step, before = self.random.choice(steps) if self.runs else self.collect, self.now
        self.told.append(step.__name__)
        step()
        self.now = {key: self.look(key) for key in KEYS}
        if step != self.people_work:
            for key in KEYS:
                theirs = {item: stood for item, stood in before[key].items() if item in self.touched[key]}
                assert theirs == {item: self.now[key].get(item) for item in theirs}
                self.written[key] = self.written[key] if self.now[key] == before[key] else self.now[key]

    def check(self):
        self.check_measured()
        self.check_status()
        self.check_taught()

    def check_measured(self):
        self.glomseg("measure", self.project, "-o", self.tables)
        rows = read_csv(self.tables / "glomeruli.csv")[1]
        done = {row["entry_id"] for row in read_csv(self.tables / "slides.csv")[1] if row["profiles"]}
        for key in done & set(KEYS):
            measured = {row["object_id"]: row["owner"] for row in rows if row["entry_id"] == key}
            whose = {item: self.whose(key, item) for item, stands in self.now[key].items() if stands.counts}
            assert measured == whose

    def whose(self, key, item):
        is_ours = self.now[key][item].run is not None and item not in self.touched[key]
        return "machine" if is_ours else "person"

    def check_status(self):
        images = json.loads(self.glomseg("status", self.project, "--json").out)["images"]
        for key, said in zip(KEYS, images, strict=False):
            now, then = self.now[key], self.written[key]
            whose = [self.whose(key, item) for item in now]
            assert (said["machine"], said["persons"]) == (whose.count("machine"), whose.count("person"))
            assert sum(said["annotations"].values()) == len(now)
            if said["since"] is not None and then is not None:
                judged = [
                    item
                    for item, one in now.items()
                    if one.holds and not (item in then and then[item].holds == one.holds)
                ]
                counts = {what: sum(said["since"][what].values()) for what in ("added", "deleted", "judged")}
                assert counts == {
                    "added": len(now.keys() - then),
                    "deleted": len(then.keys() - now),
                    "judged": len(judged),
                }

    def check_taught(self):
        try:
            (image,) = read_reviewed(self.project).images
        except ProjectError:  # other outlines stand there than those that were reviewed
            return
        standing = {item.object_id for item in image.standing if item.object_type == "annotation"}
        assert standing == {item for item, one in self.now["1"].items() if one.holds != "reject"}


@pytest.mark.parametrize("seed", range(3))
def test_every_command_says_what_stands_and_nothing_of_a_persons_changes(moved, one_process, glomseg, tmp_path, seed):
    life = Life(moved, one_process, glomseg, tmp_path / "tables", seed)
    for _ in range(STEPS):
        try:
            life.step()
            life.check()
        except AssertionError as error:
            raise AssertionError(f"after {life.told}") from error
    assert sum(stands.run is not None for stands in life.now["2"].values())
