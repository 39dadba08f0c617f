package dev.refrain

/** A program that starts a client twice, and says what it is told. */
fun main() {
    repeat(2) {
        try {
            Refrain.start("project-token")
            println("started")
        } catch (error: Throwable) {
            println("${kind(error)} ${error.message}".replace("\n", " "))
        }
    }
}
