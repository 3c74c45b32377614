/*
 * Purpose: glomseg's menu as an extension of QuPath: a JAR holds this class and the scripts, and shows them under
 *          Extensions > GlomSeg. `glomseg qupath build-extension` makes it.
 * Input:   none. The jobs of the menu need glomseg's Python, which they ask for once.
 * Output:  the scripts of the JAR in the folder "glomseg" of QuPath's user folder, replaced by those of a newer JAR.
 * QuPath 0.6, 0.7
 */

package glomseg.extension

import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.Path
import javafx.application.Platform
import org.slf4j.LoggerFactory
import qupath.lib.common.Version
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.extensions.QuPathExtension

@CompileStatic
class GlomSegExtension implements QuPathExtension {

    static final String SCRIPTS = "/glomseg/scripts/"

    @Override
    String getName() {
        return "GlomSeg"
    }

    @Override
    String getDescription() {
        return "Finds the glomeruli on slides of kidney, and reviews, measures and learns from them"
    }

    @Override
    Version getQuPathVersion() {
        return Version.parse("0.6.0")
    }

    @Override
    Version getVersion() {
        return Version.parse(text("version.txt"))
    }

    @Override
    void installExtension(QuPathGUI qupath) {
        Platform.runLater(new Menu(this))  // QuPath's window is complete by then
    }

    /** Write the scripts to a folder of their own, as they load one another from there; returns the menu's. */
    Path unpack() {
        Path user = UserDirectoryManager.getInstance().getUserPath()
        Path folder = user == null ? Files.createTempDirectory("glomseg") : user.resolve("glomseg").resolve("scripts")
        Files.createDirectories(folder)
        for (String name : text("index.txt").split("\n"))
            Files.writeString(folder.resolve(name), text(name))
        return folder.resolve("install_menu.groovy")
    }

    private String text(String name) {
        InputStream stream = getClass().getResourceAsStream(SCRIPTS + name)
        try {
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8)
        } finally {
            stream.close()
        }
    }

}

@CompileStatic
class Menu implements Runnable {

    private final GlomSegExtension extension

    Menu(GlomSegExtension extension) {
        this.extension = extension
    }

    @Override
    void run() {
        try {
            File script = extension.unpack().toFile()
            Binding variables = new Binding()
            variables.setVariable("qupath.script.file", script.getPath())
            variables.setVariable("extension", true)
            new GroovyShell(extension.getClass().getClassLoader(), variables).evaluate(script)
        } catch (IOException | RuntimeException error) {
            LoggerFactory.getLogger("GlomSeg").error("The menu of GlomSeg could not be shown", error)
        }
    }

}
