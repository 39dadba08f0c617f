package dev.refrain

import java.io.File
import java.net.URI
import java.net.URLEncoder
import java.net.http.HttpClient
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpRequest.newBuilder
import java.net.http.HttpResponse
import java.net.http.HttpResponse.BodyHandlers
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject

/**
 * The mock server, a process of its own: the program that `REFRAIN_MOCK_BIN` names, or else cargo builds it. Without a
 * store it keeps its data in memory.
 */
class MockServer(store: File? = null) : AutoCloseable {
    private val program = System.getenv("REFRAIN_MOCK_BIN")?.let { listOf(it) } ?: CARGO
    private val process: Process

    val url: String

    init {
        val kept = if (store == null) emptyList() else listOf("--store", store.path)
        val command = program + listOf("serve", "--listen", "127.0.0.1:0") + kept
        process = ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start()
        val ready = process.inputStream.bufferedReader().readLine().orEmpty()
        check(ready.startsWith("refrain-mock ready http://")) { ready }
        url = ready.substringAfterLast(' ')
    }

    fun get(path: String): JsonObject = ask("GET", path, null)

    fun post(path: String, body: String): JsonObject = ask("POST", path, body)

    /** The events that are stored, of a name or all. */
    fun events(name: String? = null): List<JsonObject> {
        val filter = name?.let { "&event=" + URLEncoder.encode(it, Charsets.UTF_8) }.orEmpty()
        return get("/mock/events?project=project-token$filter").getValue("events").jsonArray.map { it.jsonObject }
    }

    /** Waits until one of that name is there. */
    fun waitFor(event: String) {
        post("/mock/wait", """{"event":"$event","project":"project-token","min":1,"timeout_ms":60000}""")
    }

    /** Its answer to a request, whatever the status. */
    fun send(method: String, path: String, body: String? = null): HttpResponse<String> {
        val request = newBuilder(URI(url + path))
        if (body != null) request.header("Content-Type", "application/json")
        request.method(method, body?.let { BodyPublishers.ofString(it) } ?: BodyPublishers.noBody())
        return HTTP.send(request.build(), BodyHandlers.ofString())
    }

    override fun close() {
        process.destroy()
        process.waitFor()
    }

    private fun ask(method: String, path: String, body: String?): JsonObject {
        val answer = send(method, path, body)
        check(answer.statusCode() == 200) { "${answer.statusCode()} ${answer.body()}" }
        return Json.parseToJsonElement(answer.body()).jsonObject
    }
}

private val HTTP = HttpClient.newHttpClient()

private val CARGO = listOf("cargo", "run", "--quiet", "--package", "refrain-mock", "--")
