"""The extension: a JAR that QuPath takes, and a catalog that its extension manager reads."""

import zipfile

import pytest

from glomseg.errors import QuPathError
from glomseg.qupath.extension import EXTENSION, build_extension
from glomseg.qupath.launcher import run_script
from glomseg.qupath.scripts import script_files

REPOSITORY = "https://github.com/owner/glomseg"
READ = """
import com.google.gson.FieldNamingPolicy
import com.google.gson.GsonBuilder

def type = ["core.model.CatalogModel", "core.catalog.Catalog"].findResult {
    try {
        Class.forName("qupath.ext.extensionmanager." + it)
    } catch (ClassNotFoundException error) {
        null
    }
}
def gson = new GsonBuilder().setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES).create()
def catalog = gson.fromJson(new File(args[0]).getText("UTF-8"), type)
def extension = catalog.extensions()[0]
println "## " + [extension.name(), extension.releases()[0].name(), extension.releases()[0].mainUrl()].join(" ")
println "## " + new URLClassLoader([new File(args[1]).toURI().toURL()] as URL[], getClass().getClassLoader())
    .loadClass(args[2]).getDeclaredConstructor().newInstance().getVersion()
"""


@pytest.mark.qupath
@pytest.mark.slow
@pytest.mark.usefixtures("qupath")
def test_qupath_takes_the_jar_and_the_catalog(tmp_path):
    built = build_extension(tmp_path, repository=REPOSITORY)
    assert f"glomseg/extension/{EXTENSION.split('.')[-1]}.class" in (names := zipfile.ZipFile(built.jar).namelist())
    assert {f"glomseg/scripts/{script.name}" for script in script_files()} <= set(names)
    (tmp_path / "read.groovy").write_text(READ)
    printed: list[str] = []
    arguments = [str(built.catalog), str(built.jar), EXTENSION]
    done = run_script(tmp_path / "read.groovy", arguments=arguments, line=lambda level, text: printed.append(text))
    assert not done.errors
    version = built.jar.stem.split("-")[-1]
    url = f"{REPOSITORY}/releases/download/v{version}/{built.jar.name}"
    assert [text for text in printed if text.startswith("##")] == [f"## GlomSeg v{version} {url}", f"## {version}"]


def test_a_catalog_names_a_repository_that_qupath_accepts(tmp_path):
    for address in ("https://example.org/owner/glomseg", "http://github.com/owner/glomseg", "https://github.com/o-w/n"):
        with pytest.raises(QuPathError, match="cannot stand in a catalog"):
            build_extension(tmp_path, repository=address)
