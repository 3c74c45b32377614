"""The import script as QuPath runs it, in the process that holds QuPath's JVM."""

from pathlib import Path


def import_run(project_path: Path, entry_id: str, run: str) -> dict[str, int]:
    """Bring a run into an image with import_results.groovy; returns how many outlines it added, removed and so on."""
    from paquo import java
    from paquo.jpype_backend import JClass

    from glomseg.qupath.scripts import list_scripts

    script = JClass("java.io.File")(str(list_scripts()["import_results"]))
    image = JClass("java.awt.image.BufferedImage").class_
    project = JClass("qupath.lib.projects.ProjectIO").loadProject(JClass("java.io.File")(str(project_path)), image)
    entry = next(one for one in project.getImageList() if str(one.getID()) == entry_id)
    JClass("qupath.lib.scripting.QP").setBatchProjectAndImage(project, entry.readImageData())
    binding = JClass("groovy.lang.Binding")()
    arguments = JClass("java.util.ArrayList")()
    arguments.add(java.String(run))
    binding.setVariable("args", arguments)
    binding.setVariable("qupath.script.file", java.String(str(list_scripts()["import_results"])))
    done = JClass("groovy.lang.GroovyShell")(binding).evaluate(script)
    return {str(key): int(value) for key, value in done.items()}


def evaluate(script: str, variables: dict[str, str]) -> str:
    """Evaluate a script with these variables; returns what it returns, as text."""
    from paquo import java
    from paquo.jpype_backend import JClass

    binding = JClass("groovy.lang.Binding")()
    for name, value in variables.items():
        binding.setVariable(name, java.String(value))
    return str(JClass("groovy.lang.GroovyShell")(binding).evaluate(java.String(script)))
