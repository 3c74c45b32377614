/*
 * Purpose: call glomseg's commands from QuPath's windows, with progress, cancel, and what they say told. The other
 *          scripts load this file from their own folder; by itself it does nothing.
 * Input:   glomseg's Python: named in python.txt beside this file by `glomseg qupath install-scripts`, else that of the
 *          glomseg on the PATH, else asked for once and remembered.
 * Output:  none of its own.
 * QuPath 0.5, 0.6, 0.7
 */

import static qupath.lib.gui.scripting.QPEx.*

import groovy.transform.Field
import java.awt.image.BufferedImage
import java.util.concurrent.TimeUnit
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.io.GsonTools
import qupath.lib.projects.ProjectIO

@Field static final String REMEDY = "Install glomseg (pip install glomseg, or from its checkout) and run " +
    "\"glomseg qupath install-scripts\" there, or name the python of that installation: .venv/bin/python, or " +
    ".venv\\Scripts\\python.exe on Windows."
@Field static final List<String> PYTHONS = ["bin/python", "Scripts/python.exe", "python", "python3", "python.exe"]
@Field static final String PROGRESS = "@ "
@Field static final String REMARK = "glomseg: "
@Field static final String TITLE = "GlomSeg"
@Field static final String CHECKED = "glomseg.python.checked"  // property of QuPath's window: good since its start

/** Return the script that tells people how far a command is and what came of it. */
def getTelling() {
    return shared.load("glomseg_telling")
}

/** Return a Python that has glomseg: the one that installed these scripts, one chosen before, or one chosen now. */
String findPython() {
    def checked = getQuPath().getStage().getProperties()
    if (checked[CHECKED] && new File(checked[CHECKED].toString()).isFile())
        return checked[CHECKED]
    def own = new File(getClass().getProtectionDomain().getCodeSource().getLocation().toURI())
    def user = UserDirectoryManager.getInstance().getUserPath()
    def folders = [own.getParentFile(), user?.resolve("scripts/GlomSeg")?.toFile()]
    def named = folders.findAll().collect { new File(it, "python.txt") }.findAll { it.isFile() }
    def chosen = PathPrefs.createPersistentPreference("glomseg.python", "")
    def known = (named.collect { it.getText("UTF-8").trim() } + chosen.get()).findAll().unique()
    def good = (known + pythonsOnPath()).find { hasGlomseg(it) } ?: askForPython(known)
    if (good != null && !(good in known))
        chosen.set(good)
    checked[CHECKED] = good
    return good
}

/** Ask for the Python: a path that is typed or pasted, as file choosers hide folders such as .venv; else a file. */
private String askForPython(List<String> bad) {
    def before = bad ? "${bad.join(' and ')} cannot run glomseg.\n\n" : "", answer = ""
    while (true) {
        answer = Dialogs.showInputDialog(TITLE, "${before}Which Python is glomseg installed in?\nPaste its path, " +
            "which \"glomseg doctor\" shows, or the folder of its environment.\nLeave it empty to choose a file.\n\n" +
            "Not yet installed: pip install glomseg, or from its checkout.", answer)
        if (answer == null)
            return null
        answer = answer.trim() ?: FileChoosers.promptForFile("Python with glomseg")?.getAbsolutePath() ?: ""
        def good = pythonsAt(answer).find { hasGlomseg(it) }
        if (good != null)
            return good
        before = answer ? "${answer} has no glomseg.\n\n" : ""
    }
}

/** Return what may be meant by a path: a Python, the folder of an environment or of a checkout, or a command in it. */
private List<String> pythonsAt(String text) {
    if (!text)
        return []
    def file = new File(text.replaceAll(/^["']|["']$/, "").replaceFirst(/^~/, System.getProperty("user.home")))
    def folders = [file, new File(file, ".venv"), file.getParentFile()].findAll { it?.isDirectory() }
    def inside = folders.collectMany { folder -> PYTHONS.collect { new File(folder, it) } }
    return ((file.getName() =~ /(?i)python/ ? [file] : []) + inside).findAll { it.isFile() }*.getAbsolutePath()
}

/** Return the Python of the glomseg that a terminal would run; nothing where there is none. */
private List<String> pythonsOnPath() {
    def folders = (System.getenv("PATH") ?: "").split(File.pathSeparator).findAll().collect { new File(it) } +
        [new File(System.getProperty("user.home"), ".local/bin")]
    def commands = folders.collectMany { [new File(it, "glomseg"), new File(it, "glomseg.exe")] }
    return commands.findAll { it.isFile() }.collectMany { command ->
        def begin = command.withInputStream { new String(it.readNBytes(500), "ISO-8859-1") }.readLines()[0] ?: ""
        (begin.startsWith("#!") ? [begin.substring(2).trim()] : []) + pythonsAt(command.getPath()) +
            pythonsAt(command.getParentFile().getParent())  // Scripts/glomseg.exe, where conda has python.exe above it
    }.unique()
}

boolean hasGlomseg(String python) {
    try {
        def process = new ProcessBuilder(python, "-c", "import glomseg_cli").redirectErrorStream(true).start()
        process.getOutputStream().close()
        process.getInputStream().getText("UTF-8")
        return process.waitFor() == 0
    } catch (IOException ignored) {
        return false
    }
}

/** Run a command with --json and return what it answers; null where it was cancelled. More as `glomseg`. */
Map ask(String python, List<String> arguments, String title, boolean alone = false) {
    def output = glomseg(python, arguments + ["--json"], title, alone)
    return output == null ? null : GsonTools.getInstance().fromJson(output, Map)
}

/**
 * Run a glomseg command and return what it printed, or null where it was cancelled. With a title, a window shows the
 * progress and Cancel; `alone` keeps QuPath's window from being used meanwhile. Throws with glomseg's own message
 * where it fails. The command ends with QuPath.
 */
String glomseg(String python, List<String> arguments, String title = null, boolean alone = false) {
    def builder = new ProcessBuilder([python, "-m", "glomseg_cli.main"] + arguments)
    builder.environment().putAll([PYTHONIOENCODING: "utf-8", GLOMSEG_PROGRESS: "lines"])
    def process = builder.start()
    def atExit = new Thread({ end(process) })
    Runtime.getRuntime().addShutdownHook(atExit)
    process.getOutputStream().close()
    def cancelled = [false]
    def show = title == null ? { String line -> } : telling.showProgress(title, alone) {
        cancelled[0] = true
        end(process)
    }
    def said = []
    try {
        def reader = Thread.start {
            process.getErrorStream().eachLine("UTF-8") { line ->
                if (line.startsWith(REMARK))
                    said << line.substring(REMARK.length())
                if (!line.startsWith(PROGRESS) && line.trim())
                    telling.log(line)
                show(line)
            }
        }
        def output = process.getInputStream().getText("UTF-8")
        def code = process.waitFor()
        reader.join()
        if (cancelled[0])
            return null
        if (code != 0 && !output.trim())  // else some images failed, and the output says which
            throw new IllegalStateException(inQuPath(said.join("; ")) ?: "glomseg ended with exit code ${code}")
        return output
    } finally {
        show(null)
        if (!process.isAlive())
            Runtime.getRuntime().removeShutdownHook(atExit)
    }
}

/** End a process and those that it started; one that does not listen is killed. */
void end(Process process) {
    def all = process.descendants().toList() + [process.toHandle()]
    all.each { it.destroy() }
    Thread.startDaemon {
        if (!process.waitFor(10, TimeUnit.SECONDS))
            all.each { it.destroyForcibly() }
    }
}

/** Give a message of the command line the way out that there is in a window. */
String inQuPath(String message) {
    def text = message.replace("with the script review_glomeruli", "in Review glomeruli, with Image fully reviewed")
    return text.contains("--mpp") ? text + "\n\nIn QuPath: open the image, and double-click Pixel width in the tab " +
        "Image" : text
}

/**
 * Return the file of the open project, with all that is shown saved: the commands read what is on disk. Throws where
 * others saved an image that was changed here.
 */
String savedProject() {
    def project = getQuPath().getProject()
    if (project == null)
        throw new IllegalStateException("Open a project first.")
    for (data in getQuPath().getAllViewers()*.getImageData().findAll { it != null && it.isChanged() }) {
        def entry = project.getEntry(data)
        if (entry != null)
            shared.saveData(entry, data)
    }
    shared.sync(project)
    return project.getPath().toString()
}

/** Return a project as it stands now: QuPath's where it has it open, else as it is on disk. */
def projectOfNow(String file) {
    def open = getQuPath().getProject()
    return open?.getPath()?.toString() == file ? open : ProjectIO.loadProject(new File(file), BufferedImage)
}
