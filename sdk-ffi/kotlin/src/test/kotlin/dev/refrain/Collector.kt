package dev.refrain

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import java.io.IOException
import java.net.InetAddress
import java.net.InetSocketAddress
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executors
import java.util.concurrent.Semaphore
import java.util.zip.GZIPInputStream
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject

/** A collector in the test's own process: it takes what the wire brings and keeps it for the test to look at. */
class Collector : AutoCloseable {
    /** What has arrived, in order. */
    val requests = CopyOnWriteArrayList<Arrived>()

    /** The next answers' status and headers; 200 and the collector's own word for success while it is empty. */
    val statuses = ConcurrentLinkedQueue<Int>()

    /** So much is said in every answer beside the collector's own word. */
    @Volatile var padding = 0

    /** What every answer sets. */
    @Volatile var cookie: String? = null

    /** One permit for every request that has been read. */
    val arrived = Semaphore(0)

    /** While it is closed, requests are read and wait. */
    @Volatile private var answering = CountDownLatch(0)

    private val threads = Executors.newCachedThreadPool { Thread(it).apply { isDaemon = true } }
    private val server = HttpServer.create(InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0)

    val url = "http://127.0.0.1:${server.address.port}"

    /** Every event that arrived, in order. */
    val events: List<JsonObject>
        get() = requests.filter { it.path.startsWith("/track/") }.flatMap { it.records }

    /** Every update of a profile or a group that arrived, in order. */
    val updates: List<JsonObject>
        get() = requests.filterNot { it.path.startsWith("/track/") }.flatMap { it.records }

    /** The names of the events that arrived. */
    val names: List<String>
        get() = events.map { it.text("event") }

    init {
        server.executor = threads
        server.createContext("/") { take(it) }
        server.start()
    }

    /** Requests are read and wait. */
    fun hang() {
        answering = CountDownLatch(1)
    }

    /** Those that wait are answered. */
    fun answer() {
        answering.countDown()
    }

    override fun close() {
        answer()
        server.stop(0)
        threads.shutdown()
    }

    private fun take(exchange: HttpExchange) {
        val coding = exchange.requestHeaders.getFirst("Content-Encoding")
        val bytes = exchange.requestBody.readAllBytes()
        val body = if (coding == "gzip") GZIPInputStream(bytes.inputStream()).readAllBytes() else bytes
        val path = exchange.requestURI.toString()
        val status = statuses.poll() ?: 200
        val isErasure = path.startsWith("/refrain/v1/erasures")
        val text = body.decodeToString()
        val isTaken = status == 200 && !isErasure
        val records = if (isTaken) Json.parseToJsonElement(text).jsonArray.map { it.jsonObject } else listOf()
        val headers = exchange.requestHeaders.mapValues { it.value.first() }
        requests.add(Arrived(exchange.requestMethod, path, headers, text, records))
        arrived.release()
        answering.await()
        val answer =
            when {
                path == "/refrain/v1/erasures/e1" -> """{"id":"e1","state":"completed","receipt":{"events":1}}"""
                isErasure -> """{"id":"e1","state":"accepted"}"""
                else -> """{"pad":"${"x".repeat(padding)}","error":null,"status":1}"""
            }.toByteArray()
        try {
            cookie?.let { exchange.responseHeaders.add("Set-Cookie", it) }
            if (status == 401) exchange.responseHeaders.add("WWW-Authenticate", "Basic realm=\"a\"")
            if (status == 302) exchange.responseHeaders.add("Location", "$url/elsewhere")
            exchange.sendResponseHeaders(status, answer.size.toLong())
            exchange.responseBody.use { it.write(answer) }
        } catch (_: IOException) {
            // The client has gone, as some tests want it to.
        }
    }
}

/** A request as it arrived, uncompressed. */
class Arrived(
    val method: String,
    val path: String,
    val headers: Map<String, String>,
    val body: String,
    val records: List<JsonObject>,
)
