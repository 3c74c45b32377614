/*
 * Purpose: compile the extension's class with the Groovy that QuPath has; `glomseg qupath build-extension` runs it.
 * Input:   arguments: the source, the folder for the classes
 * Output:  classes for Java 17 and newer.
 * QuPath 0.6, 0.7
 */

import org.codehaus.groovy.control.CompilationUnit
import org.codehaus.groovy.control.CompilerConfiguration

def configuration = new CompilerConfiguration()
configuration.setTargetBytecode("17")
configuration.setTargetDirectory(new File(args[1]))
def unit = new CompilationUnit(configuration, null, new GroovyClassLoader(getClass().getClassLoader()))
unit.addSource(new File(args[0]))
unit.compile()
