/*
 * Purpose: let one glomseg at a time work in a project's folder of runs, as glomseg's lock.py does. The other scripts
 *          load this file from their own folder; by itself it does nothing.
 * Input:   <project folder>/glomseg/.lock.json, which says who works there.
 * Output:  none.
 * QuPath 0.5, 0.6, 0.7
 */

import com.google.gson.JsonParseException
import groovy.transform.Field
import java.nio.file.FileAlreadyExistsException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardOpenOption
import java.time.OffsetDateTime
import qupath.lib.io.GsonTools

@Field static final String HOLDER = ".lock.json"
@Field static final long STALE_MS = 300_000

/** Do something as the one glomseg that works in the folder of runs; others write down that they do, too. */
def holding(Path home, Closure what) {
    def file = home.resolve(HOLDER)
    if (runsThis(holder(file)))  // `glomseg qupath run --save` holds the folder for this very script
        return what()
    def token = UUID.randomUUID().toString().replace("-", "")
    def text = GsonTools.getInstance().toJson([
        token: token, person: System.getProperty("user.name"), host: hostName(), process: ProcessHandle.current().pid(),
        since: OffsetDateTime.now().toString(), command: "import_results.groovy in QuPath"])
    if (Files.exists(file) && isDead(file))
        Files.deleteIfExists(file)
    try {
        Files.writeString(file, text, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)
    } catch (FileAlreadyExistsException ignored) {
        throw new IllegalStateException("Another glomseg is working in ${home}: ${holder(file)}; wait for it.")
    }
    try {
        return what()
    } finally {
        if (holder(file)?.token == token)
            Files.deleteIfExists(file)
    }
}

private boolean runsThis(Map who) {
    if (who?.host != hostName() || !(who.process instanceof Number))
        return false
    def above = ProcessHandle.current().parent()
    while (above.isPresent() && above.get().pid() != (who.process as long))
        above = above.get().parent()
    return above.isPresent()
}

Map holder(Path file) {
    try {
        return GsonTools.getInstance().fromJson(Files.readString(file), Map)
    } catch (IOException | JsonParseException ignored) {
        return [:]
    }
}

private boolean isDead(Path file) {
    def who = holder(file)
    def isHere = who?.host == hostName() && who.process instanceof Number
    if (isHere && !ProcessHandle.of(who.process as long).isPresent())
        return true
    return System.currentTimeMillis() - Files.getLastModifiedTime(file).toMillis() > STALE_MS
}

String hostName() {
    try {
        return InetAddress.getLocalHost().getHostName()
    } catch (UnknownHostException ignored) {
        return "this computer"
    }
}
