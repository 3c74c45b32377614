// Lets a test drive a running QuPath: each file NAME.cmd of a folder is a command, its answer is NAME.out.
// First line: fx (evaluate on the JavaFX thread), eval, or run (a script file, as the menu does); then the body.
import java.util.concurrent.Callable
import qupath.fx.utils.FXUtils
import qupath.lib.gui.QuPathGUI

def dir = new File(System.getProperty("glomseg.driver"))
def loader = getClass().getClassLoader()
def answer = { String kind, String body ->
    if (kind == "run") {
        def script = new File(body.trim())
        return QuPathGUI.getInstance().runScript(script, script.getText("UTF-8"))
    }
    def shell = new GroovyShell(loader)
    if (kind == "fx") {
        def evaluated = FXUtils.callOnApplicationThread({
            try {
                return [shell.evaluate(body), null]
            } catch (Throwable error) {  // FXUtils would log it, and return null
                return [null, error]
            }
        } as Callable)
        if (evaluated[1] != null)
            throw evaluated[1]
        return evaluated[0]
    }
    return shell.evaluate(body)
}
def work = { File file ->
    def text = file.getText("UTF-8")
    file.delete()
    def (kind, body) = [text.takeBefore("\n"), text.takeAfter("\n")]
    def told
    try {
        told = "=> " + answer(kind, body)
    } catch (Throwable error) {
        def trace = new StringWriter()
        error.printStackTrace(new PrintWriter(trace))
        told = "!! " + trace
    }
    def temporary = new File(file.path + ".tmp")
    temporary.setText(told, "UTF-8")
    temporary.renameTo(new File(file.path.replace(".cmd.taken", ".out")))
}
Thread.startDaemon("driver") {
    while (true) {
        Thread.sleep(20)
        for (file in dir.listFiles().findAll { it.name.endsWith(".cmd") }.sort { it.name }) {
            def taken = new File(file.path + ".taken")
            if (file.renameTo(taken))
                Thread.startDaemon("driver-job") { work(taken) }
        }
    }
}
new File(dir, "ready").text = "yes"
