"""A project as another program edits and sees it: paquo, and none of our code."""

import json
import os
import subprocess
import sys

EDIT = """
import sys
from paquo.java import PathClass
from paquo.projects import QuPathProject
project = QuPathProject(sys.argv[1], mode="r+")
entry = project.images[0]
hierarchy = entry.hierarchy.java_object
ours = [a for a in hierarchy.getAnnotationObjects() if a.getMetadata().containsKey("glomseg.run")]
ours.sort(key=lambda a: a.getROI().getCentroidX())
ours[0].setPathClass(PathClass.fromString("Artefact"))
ours[1].setLocked(True)
ours[2].setROI(ours[2].getROI().translate(1.0, 0.0))
ours[3].setName("ask Ada")
ours[4].setDescription("crescent?")
ours[5].getMetadata().put("glomseg.verdict", "accept")
hierarchy.removeObject(ours[6], True)
hierarchy.fireHierarchyChangedEvent(hierarchy.getRootObject())
entry.save()
project.save(images=False)
print("RESULT{}")
"""


def in_another_process(script, study, qupath):
    """Run a script through paquo and none of our code."""
    environment = {**os.environ, "PAQUO_QUPATH_DIR": str(qupath.info.folder)}
    command = [sys.executable, "-c", script, str(study)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout.partition("RESULT")[2])
