package dev.refrain

import com.sun.net.httpserver.HttpsConfigurator
import com.sun.net.httpserver.HttpsServer
import dev.refrain.ffi.HttpRequestInterface
import java.io.File
import java.io.InputStream
import java.io.OutputStream
import java.net.Authenticator
import java.net.CookieHandler
import java.net.CookieManager
import java.net.HttpURLConnection
import java.net.InetAddress
import java.net.InetSocketAddress
import java.net.PasswordAuthentication
import java.net.ServerSocket
import java.net.URL
import java.security.KeyFactory
import java.security.KeyStore
import java.security.cert.CertificateFactory
import java.security.spec.PKCS8EncodedKeySpec
import java.util.Base64
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import java.util.logging.Level
import javax.net.ssl.KeyManagerFactory
import javax.net.ssl.SSLContext
import kotlin.concurrent.thread
import kotlin.random.Random
import kotlin.time.Duration.Companion.seconds
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The network, and whatever else may stand in for it, cannot harm the app or lose a record. */
class TransportTest : FolderTest() {
    @Test
    fun `an answer may be long`() {
        val client = granted()
        client.track("Event")
        collector.padding = 60_000
        assertTrue(client.flushBlocking(30.0))
        assertEquals(1, client.stats().delivered)
    }

    @Test
    fun `an answer may say on which date the collector is back`() {
        val (later, date) = "Sun, 06 Nov 1994 08:49:37 GMT" to "Sun, 06 Nov 1994 08:47:37 GMT"
        assertEquals("120", inSeconds(later, date))
        assertNull(inSeconds(date, later))
        assertNull(inSeconds(later, null)) // by this clock it has passed
        for (value in listOf(null, "", "120", "soon", "Sun, 99 Nov 1994 08:49:37 GMT")) {
            assertEquals(value, inSeconds(value, date))
        }
    }

    @Test
    fun `a developer reads why nothing is sent`() {
        val logged = Logged()
        try {
            collector.statuses.add(401)
            val client = granted()
            client.track("Bought", mapOf("item" to "umbrella"))
            assertFalse(client.flushBlocking(30.0))
            val record = logged.records.poll(60, TimeUnit.SECONDS)
            assertEquals(Level.WARNING, record?.level)
            assertEquals("the collector answers 401: check the token and the endpoint; sending is paused, nothing is lost", record?.message)
        } finally {
            logged.close()
        }
    }

    @Test
    fun `a developer reads once that a certificate is not trusted`() {
        val server = HttpsServer.create(InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0)
        server.httpsConfigurator = HttpsConfigurator(untrusted())
        server.start()
        val logged = Logged()
        try {
            val transport = UrlConnectionTransport()
            for (attempt in 1..2) {
                val request = Told("https://localhost:${server.address.port}/track/", "[]".toByteArray())
                assertEquals(HttpAnswer.Unreachable, transport.send(HttpRequest(request)))
                assertEquals(emptyList<String>(), request.calls)
            }
            val said = logged.records.map { it.message }
            assertEquals(1, said.size, "$said")
            assertTrue(said[0].startsWith("the collector's certificate is not trusted: "), "$said")
        } finally {
            logged.close()
            server.stop(0)
        }
    }

    /** A collector's side of TLS, with a certificate that nobody trusts. */
    private fun untrusted(): SSLContext {
        val pem = File("../python/tests/localhost.pem").readText()
        val parts =
            Regex("-----BEGIN ([A-Z ]+)-----([^-]+)-----END").findAll(pem).associate {
                it.groupValues[1] to Base64.getMimeDecoder().decode(it.groupValues[2])
            }
        val key = KeyFactory.getInstance("EC").generatePrivate(PKCS8EncodedKeySpec(parts["PRIVATE KEY"]))
        val certificate =
            CertificateFactory.getInstance("X.509").generateCertificate(parts["CERTIFICATE"]!!.inputStream())
        val password = "none".toCharArray()
        val store = KeyStore.getInstance(KeyStore.getDefaultType())
        store.load(null, null)
        store.setKeyEntry("collector", key, password, arrayOf(certificate))
        val keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm())
        keys.init(store, password)
        return SSLContext.getInstance("TLS").apply { init(keys.keyManagers, null, null) }
    }

    @Test
    fun `answers that are no delivery`() {
        for (status in listOf(302, 401, 407)) {
            collector.statuses.add(status)
            val client = granted()
            client.track("kept")
            assertFalse(client.flushBlocking(30.0), "$status")
            assertEquals(0L to 1L, client.stats().let { it.delivered to it.queued }, "$status")
            client.optOutBlocking()
            client.close()
            folder.deleteRecursively()
        }
        assertEquals(3, collector.requests.size) // no redirect was followed, and none was asked again with a password
    }

    @Test
    fun `what is not taken compressed is sent again in the clear`() {
        for (status in listOf(411, 415, 501)) {
            collector.statuses.add(status)
            val client = granted()
            client.track("large", mapOf("text" to "x".repeat(2_000)))
            assertFalse(client.flushBlocking(30.0), "$status")
            assertEquals(1, client.stats().queued, "$status")
            assertTrue(client.flushBlocking(30.0), "$status")
            assertEquals(1, client.stats().delivered, "$status")
            client.close()
        }
    }

    @Test
    fun `half of an answer is neither a yes nor a no`() {
        ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use { listener ->
            val proxy = thread {
                listener.accept().use {
                    val request = it.getInputStream().bufferedReader()
                    var end = ""
                    while (end != "}}]") end = (end + request.read().toChar()).takeLast(3)
                    it.getOutputStream().write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0".toByteArray())
                }
            }
            val body = """[{"event":"e","properties":{}}]""".toByteArray()
            val request = Told("http://127.0.0.1:${listener.localPort}/track/", body)
            val answer = UrlConnectionTransport().send(HttpRequest(request))
            proxy.join()
            assertEquals("", (answer as? HttpAnswer.Response)?.body ?: "")
        }
    }

    @Test
    fun `an answer may come before the body is out`() {
        val whole = "Content-Length: 0\r\n\r\n"
        // Its body breaks off with the connection.
        val half = "Transfer-Encoding: chunked\r\n\r\n6\r\n<html>\r\n"
        // More than the network holds while nobody reads.
        val body = Random(1).nextBytes(8_000_000)
        for (rest in listOf(whole, half)) {
            val transport = UrlConnectionTransport()
            // After the second one they go in the clear.
            for (status in listOf(413, 415, 413)) {
                val (answer, request) = answered("HTTP/1.1 $status Refused\r\n$rest", body, transport)
                val expected = if (status == 415) HttpAnswer.Unreachable else HttpAnswer.Response(413, null, "")
                assertEquals(expected, answer, rest)
                assertEquals(listOf("open", "started"), request.calls)
            }
        }
    }

    @Test
    fun `an answer may have no body`() {
        val (answer) = answered("HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n")
        assertEquals(HttpAnswer.Response(503, "120", ""), answer)
    }

    @Test
    fun `what is no status is nobody's answer`() {
        val client = granted { transport = Scripted { HttpAnswer.Response(65_536 + 200, null, "1") } }
        client.track("kept")
        assertFalse(client.flushBlocking(30.0))
        assertEquals(0L to 1L, client.stats().let { it.delivered to it.queued })
    }

    /** What becomes of a request that is answered as soon as its head is there; then the connection is closed. */
    private fun answered(
        answer: String,
        body: ByteArray = "[]".toByteArray(),
        transport: HttpTransport = UrlConnectionTransport(),
    ): Pair<HttpAnswer, Told> =
        ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use { listener ->
            thread {
                listener.accept().use {
                    val head = it.getInputStream().bufferedReader()
                    while (head.readLine().isNotEmpty()) Unit
                    it.getOutputStream().write(answer.toByteArray())
                }
            }
            val request = Told("http://127.0.0.1:${listener.localPort}/track/", body)
            transport.send(HttpRequest(request)) to request
        }

    @Test
    fun `a collector that refuses for good`() {
        collector.statuses.add(400)
        val client = granted()
        client.track("poison")
        client.flushBlocking(30.0)
        assertEquals(0L to 0L, client.stats().let { it.delivered to it.queued })
        assertEquals(1, client.stats().dropped.values.sum())
    }

    @Test
    fun `the built-in one says that it has begun before it waits for the answer`() {
        for (body in listOf("""[{"event":"short"}]""", """[{"event":"${"long".repeat(1000)}"}]""", "")) {
            collector.hang()
            val request = Told("${collector.url}/refrain/v1/erasures", body.toByteArray())
            var answer: HttpAnswer? = null
            val sending = thread { answer = UrlConnectionTransport().send(HttpRequest(request)) }
            assertTrue(request.started.await(60, TimeUnit.SECONDS))
            assertTrue(collector.arrived.tryAcquire(60, TimeUnit.SECONDS))
            collector.answer()
            sending.join()
            assertEquals(200, (answer as HttpAnswer.Response).status)
            assertEquals(listOf("open", "started"), request.calls)
            val arrived = collector.requests.last()
            assertEquals((if (body.isEmpty()) "GET" else "POST") to body, arrived.method to arrived.body)
        }
    }

    @Test
    fun `the built-in one sends nothing that it is not given`() {
        for (length in listOf(0L, 10L, 10_000L)) {
            val request = Told("${collector.url}/track/", null, length)
            assertEquals(HttpAnswer.Unreachable, UrlConnectionTransport().send(HttpRequest(request)))
            assertEquals(listOf("open"), request.calls)
        }
        assertEquals(0, collector.requests.size)
    }

    @Test
    fun `the built-in one sends nothing when it is broken off on its way to the body`() {
        for (body in listOf("""[{"event":"short"}]""", """[{"event":"${"long".repeat(1000)}"}]""")) {
            lateinit var transport: UrlConnectionTransport
            transport = UrlConnectionTransport { url ->
                object : Delegating(url) {
                    override fun getOutputStream(): OutputStream {
                        transport.cancel()
                        return super.getOutputStream() // connects anew
                    }
                }
            }
            val request = Told("${collector.url}/track/", body.toByteArray())
            assertEquals(HttpAnswer.Unreachable, transport.send(HttpRequest(request)))
            assertEquals(listOf("open"), request.calls)
        }
        assertEquals(0, collector.requests.size)
    }

    @Test
    fun `the built-in one does not ask anew for an answer when it is broken off`() {
        lateinit var transport: UrlConnectionTransport
        var asked = false
        transport = UrlConnectionTransport { url ->
            object : Delegating(url) {
                override fun getResponseCode(): Int {
                    asked = true
                    return super.getResponseCode()
                }
            }
        }
        val told = Told("${collector.url}/refrain/v1/erasures/e1", "".toByteArray())
        val request =
            object : HttpRequestInterface by told {
                override fun started() {
                    told.started()
                    transport.cancel()
                }
            }
        assertEquals(HttpAnswer.Unreachable, transport.send(HttpRequest(request)))
        assertEquals(listOf("open", "started"), told.calls)
        assertFalse(asked)
    }

    @Test
    fun `the built-in one needs nothing that Android 5 does not have`() {
        val transport = UrlConnectionTransport { url ->
            object : Delegating(url) {
                override fun getContentLengthLong(): Long = throw NoSuchMethodError("getContentLengthLong")

                override fun setAuthenticator(auth: Authenticator): Unit = throw NoSuchMethodError("setAuthenticator")
            }
        }
        val answer = transport.send(HttpRequest(Told("${collector.url}/track/", "[]".toByteArray())))
        assertTrue("\"status\":1" in (answer as HttpAnswer.Response).body)
    }

    @Test
    fun `cookies of the app and of the collector stay where they are`() {
        val manager = CookieManager()
        CookieHandler.setDefault(manager)
        try {
            val own = mapOf("Set-Cookie" to listOf("session=of-the-app"))
            manager.put(URL(collector.url).toURI(), own)
            collector.cookie = "uid=the-same-person; Max-Age=99999; Path=/"
            val client = granted()
            for (name in listOf("one", "two")) {
                client.track(name)
                assertTrue(client.flushBlocking(30.0))
            }
            assertEquals(listOf(null, null), collector.requests.map { it.headers["Cookie"] })
            assertEquals(listOf("session"), manager.cookieStore.cookies.map { it.name })
            assertTrue(CookieHandler.getDefault() === manager)
        } finally {
            CookieHandler.setDefault(null)
        }
    }

    @Test
    fun `the app's password is not for the collector`() {
        val asked = AtomicInteger()
        Authenticator.setDefault(
            object : Authenticator() {
                override fun getPasswordAuthentication(): PasswordAuthentication {
                    asked.incrementAndGet()
                    return PasswordAuthentication("backend", "password".toCharArray())
                }
            }
        )
        try {
            collector.statuses.add(401)
            val request = Told("${collector.url}/refrain/v1/erasures/e1", "".toByteArray())
            val answer = UrlConnectionTransport().send(HttpRequest(request))
            assertEquals(401 to 0, (answer as HttpAnswer.Response).status to asked.get())
            assertEquals(listOf(null), collector.requests.map { it.headers["Authorization"] })
        } finally {
            Authenticator.setDefault(null)
        }
    }

    @Test
    fun `a transport with a fault is named in the log once, and has its own class loader`() {
        val loaders = CopyOnWriteArrayList<ClassLoader?>()
        val throwing = Scripted {
            loaders.add(Thread.currentThread().contextClassLoader)
            error("a bug")
        }
        val logged = Logged()
        try {
            val client = granted { transport = throwing }
            client.track("kept")
            repeat(2) { assertFalse(client.flushBlocking(30.0)) }
            val said = listOf("the transport throws IllegalStateException; what it was to send is kept, and sent later")
            assertEquals(said, logged.records.map { it.message })
            assertTrue(loaders.isNotEmpty())
            assertEquals(setOf(throwing.javaClass.classLoader), loaders.toSet())
        } finally {
            logged.close()
        }
    }

    @Test
    fun `a transport that throws loses nothing`() {
        for (thrown in listOf(IllegalStateException("a bug"), StackOverflowError(), NoClassDefFoundError())) {
            val throwing = Scripted { throw thrown }
            val client = granted { transport = throwing }
            client.track("kept")
            assertFalse(client.flushBlocking(30.0))
            assertTrue(throwing.requests.isNotEmpty())
            assertEquals(0L to 1L, client.stats().let { it.delivered to it.queued })
            client.close(0.seconds)

            val later = granted()
            later.track("and sent")
            assertTrue(later.flushBlocking(30.0))
            assertEquals(listOf("and sent", "kept"), collector.names.sorted())
            later.close()
            collector.requests.clear()
        }
    }

    @Test
    fun `a body is given out once and in time only`() {
        val hoarding = Scripted { HttpAnswer.Unreachable }
        val client = granted { transport = hoarding }
        client.track("kept")
        assertFalse(client.flushBlocking(30.0))
        client.optOutBlocking()
        assertTrue(hoarding.requests.isNotEmpty())
        for (request in hoarding.requests) assertNull(request.open())
        client.close(0.seconds)
    }

    @Test
    fun `a transport that never says it began holds nobody up`() {
        val bodies = CopyOnWriteArrayList<ByteArray?>()
        val greedy =
            Scripted { request ->
                bodies.add(request.open())
                bodies.add(request.open())
                assertEquals(request.bodyLength, bodies[0]?.size?.toLong())
                HttpAnswer.Response(200, null, "1")
            }
        val client = granted { transport = greedy }
        client.track("sent")
        assertTrue(client.flushBlocking(30.0))
        assertEquals(2, bodies.size)
        assertTrue("\"event\":\"sent\"" in bodies[0]!!.decodeToString())
        assertNull(bodies[1])
        client.optOutBlocking() // throws if the sending lock were still held
    }

    @Test
    fun `nobody listens`() {
        val client = granted { endpoint = nobody() }
        client.track("kept")
        assertFalse(client.flushBlocking(30.0))
        assertEquals(1, client.stats().queued)
    }

    @Test
    fun `a withdrawal does not wait for an answer`() {
        collector.hang()
        val client = granted()
        client.track("under way")
        client.flushBlocking(0.0)
        assertTrue(collector.arrived.tryAcquire(60, TimeUnit.SECONDS))
        client.optOutBlocking()
        assertTrue(client.hasOptedOut())
    }

    @Test
    fun `a withdrawal in another process does not wait for it either`() {
        collector.hang()
        val client = granted()
        client.track("under way")
        client.flushBlocking(0.0)
        assertTrue(collector.arrived.tryAcquire(60, TimeUnit.SECONDS))
        assertEquals("", OtherJvm.run("object", collector.url, folder)) // throws if the sending lock were still held
    }

    @Test
    fun `a client ends while a request hangs, and keeps what it said`() {
        collector.hang()
        val client = granted()
        client.track("under way")
        val flushing = thread { client.flushBlocking(600.0) }
        assertTrue(collector.arrived.tryAcquire(60, TimeUnit.SECONDS))
        assertFalse(client.close(0.seconds))
        flushing.join() // the end ends it, long before its time
        assertFalse(Thread.getAllStackTraces().keys.any { it.name == "refrain-host" }) // it was told to break off
        collector.close()

        val second = Collector()
        second.use {
            val later = granted { endpoint = it.url }
            later.flushBlocking(30.0)
            assertEquals(listOf("under way"), it.names)
        }
    }

    @Test
    fun `an erasure is asked for and asked after`() {
        val client = granted()
        client.track("before")
        assertTrue(client.flushBlocking(30.0))
        val device = client.deviceId
        client.optOutBlocking(erase = true)
        do client.flushBlocking(30.0) while (client.audit().outbox.single().state != "completed")
        val (asked, askedAfter) = collector.requests.filter { "erasures" in it.path }
        assertEquals("POST" to "/refrain/v1/erasures", asked.method to asked.path)
        assertTrue("\"device_id\":\"$device\"" in asked.body, asked.body)
        assertEquals("GET" to "/refrain/v1/erasures/e1", askedAfter.method to askedAfter.path)
        assertEquals("", askedAfter.body)
    }
}

/** A request that remembers what it was told. */
private class Told(val url: String, val body: ByteArray?, val length: Long = body!!.size.toLong()) :
    HttpRequestInterface {
    val calls = CopyOnWriteArrayList<String>()
    val started = CountDownLatch(1)

    override fun url(): String = url

    override fun bodyLength(): ULong = length.toULong()

    override fun open(): ByteArray? {
        calls.add("open")
        return body
    }

    override fun started() {
        calls.add("started")
        started.countDown()
    }
}

/** The JDK's own connection, for a test to change something of it. */
private open class Delegating(url: URL) : HttpURLConnection(url) {
    private val own = url.openConnection() as HttpURLConnection

    override fun connect() = own.connect()

    override fun disconnect() = own.disconnect()

    override fun usingProxy() = own.usingProxy()

    override fun getOutputStream(): OutputStream = own.outputStream

    override fun getInputStream(): InputStream = own.inputStream

    override fun getErrorStream(): InputStream? = own.errorStream

    override fun getResponseCode() = own.responseCode

    override fun getHeaderField(name: String): String? = own.getHeaderField(name)

    override fun setRequestProperty(key: String, value: String) = own.setRequestProperty(key, value)

    override fun setRequestMethod(method: String) = own.setRequestMethod(method)

    override fun setDoOutput(dooutput: Boolean) = own.setDoOutput(dooutput)

    override fun setFixedLengthStreamingMode(contentLength: Long) = own.setFixedLengthStreamingMode(contentLength)

    override fun setChunkedStreamingMode(chunklen: Int) = own.setChunkedStreamingMode(chunklen)
}

/** A transport whose behaviour is a function. */
private class Scripted(val behaviour: (HttpRequest) -> HttpAnswer) : HttpTransport {
    val requests = CopyOnWriteArrayList<HttpRequest>()

    override fun send(request: HttpRequest): HttpAnswer {
        requests.add(request)
        return behaviour(request)
    }

    override fun cancel(): Unit = Unit
}
