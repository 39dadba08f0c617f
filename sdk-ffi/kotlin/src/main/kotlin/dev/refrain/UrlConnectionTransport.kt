package dev.refrain

import java.io.IOException
import java.io.InputStream
import java.net.Authenticator
import java.net.CookieHandler
import java.net.HttpRetryException
import java.net.HttpURLConnection
import java.net.PasswordAuthentication
import java.net.SocketTimeoutException
import java.net.URL
import java.security.cert.CertPathValidatorException
import java.security.cert.CertificateException
import java.text.ParseException
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.zip.GZIPOutputStream
import javax.net.ssl.SSLPeerUnverifiedException
import kotlin.concurrent.thread

/** HTTP and HTTPS by `HttpURLConnection`, which every JVM and every Android has. */
internal class UrlConnectionTransport(private val connection: (URL) -> HttpURLConnection = ::withoutCookies) :
    HttpTransport {
    @Volatile private var exchange: UrlConnectionExchange? = null

    @Volatile private var compresses = true

    private val warnings = Warnings()

    override fun send(request: HttpRequest): HttpAnswer {
        val isCompressed = compresses && request.bodyLength >= WORTH_COMPRESSING
        val exchange = UrlConnectionExchange(request, connection(URL(request.url)), isCompressed)
        this.exchange = exchange
        val answer = exchange.run()
        exchange.distrust?.let { warnings.say("the collector's certificate is not trusted: $it") }
        if (!isCompressed || answer !is HttpAnswer.Response || answer.status !in NOT_IN_THIS_FORM) return answer
        // The records are sent again, in the clear and with their length.
        compresses = false
        return HttpAnswer.Unreachable
    }

    override fun cancel() {
        exchange?.abort()
    }
}

private const val CONNECT_TIMEOUT_MS = 10_000
private const val ANSWER_TIMEOUT_MS = 30_000

/** Of the answer's body; no collector's is longer. */
private const val ANSWER_BYTES = 65_536

/** Below this a body grows by compression rather than shrinks. */
private const val WORTH_COMPRESSING = 1024

/** An exception may be its own cause. */
private const val CAUSES = 10

/** It is the form of a body that is refused, not what stands in it. */
private val NOT_IN_THIS_FORM = setOf(411, 415, 501)

/** To close a TLS connection in which another thread writes can take a while. A withdrawal waits for that, not we. */
private const val CLOSING_MS = 200L

/**
 * A connection that takes no part in the cookies of an app that has a `CookieHandler`: the collector's would join the
 * device before a withdrawal to the one after it, and the app's own would name the person to the collector. A
 * connection keeps the handler that was there when it was made. For this moment there is none, which no other thread
 * sees: who reads it and who sets it takes this same lock.
 */
private fun withoutCookies(url: URL): HttpURLConnection =
    synchronized(CookieHandler::class.java) {
        val theirs = CookieHandler.getDefault()
        CookieHandler.setDefault(null)
        try {
            url.openConnection() as HttpURLConnection
        } finally {
            CookieHandler.setDefault(theirs)
        }
    }

/** The app's passwords are for its proxies at most, and never for the collector. */
private object ForProxies : Authenticator() {
    override fun getPasswordAuthentication(): PasswordAuthentication? {
        if (requestorType != RequestorType.PROXY) return null
        return requestPasswordAuthentication(
            requestingHost,
            requestingSite,
            requestingPort,
            requestingProtocol,
            requestingPrompt,
            requestingScheme,
            requestingURL,
            requestorType,
        )
    }
}

/** One request and its answer. */
private class UrlConnectionExchange(
    private val request: HttpRequest,
    private val connection: HttpURLConnection,
    private val isCompressed: Boolean,
) {
    private var aborted = false

    /** Why the peer is not believed to be the collector. */
    var distrust: String? = null
        private set

    fun run(): HttpAnswer =
        try {
            talk()
        } catch (_: SocketTimeoutException) {
            HttpAnswer.TimedOut
        } catch (refusal: HttpRetryException) {
            // Asked for a password (401, 407), the JDK would send the body once more, which it may not; it gives out
            // the status in this way only.
            HttpAnswer.Response(refusal.responseCode(), null, "")
        } catch (error: Exception) { // whatever a network, a proxy or a peer can come up with
            distrust = distrust(error)
            HttpAnswer.Unreachable
        } finally {
            connection.disconnect()
        }

    /**
     * Whether it was broken off. Whoever asks before it is has made its connection where [abort] finds it: what is not
     * there yet is not closed, and a connection that was closed is made anew by itself where it is used once more.
     */
    private fun isAborted() = synchronized(this) { aborted }

    fun abort() {
        synchronized(this) { aborted = true }
        // On a thread of its own: Android forbids it to the main thread, which may be the one that ends the client.
        thread(name = "refrain-cancel", isDaemon = true) { runCatching { connection.disconnect() } }.join(CLOSING_MS)
    }

    private fun talk(): HttpAnswer {
        // All that stands in the head is settled before the connection: afterwards it takes no more changes.
        val length = request.bodyLength
        val isPost = length > 0
        connection.connectTimeout = CONNECT_TIMEOUT_MS
        connection.readTimeout = ANSWER_TIMEOUT_MS
        connection.instanceFollowRedirects = false
        connection.useCaches = false
        try {
            connection.setAuthenticator(ForProxies)
        } catch (_: NoSuchMethodError) {
            // Android has none.
        } catch (_: UnsupportedOperationException) {
            // Nor need that of a handler of the app's own.
        }
        connection.setRequestProperty("Accept", "application/json")
        connection.setRequestProperty("User-Agent", "refrain-kotlin")
        if (isPost) {
            connection.requestMethod = "POST"
            connection.doOutput = true
            connection.setRequestProperty("Content-Type", "application/json")
            // In both modes the body goes out as it is written, and is never sent again behind the consent's back.
            if (isCompressed) {
                connection.setRequestProperty("Content-Encoding", "gzip")
                connection.setChunkedStreamingMode(0)
            } else {
                connection.setFixedLengthStreamingMode(length)
            }
        }
        connection.connect()

        // From here to `started` the folder's sending lock is held: a withdrawal waits for it, and no longer.
        val body = request.open()
        if (body == null || isAborted()) return HttpAnswer.Unreachable
        if (isPost) {
            val out = connection.outputStream
            // It may be that of a connection made anew, behind a withdrawal.
            if (isAborted()) return HttpAnswer.Unreachable
            try {
                (if (isCompressed) GZIPOutputStream(out) else out).use { it.write(body) }
            } catch (_: IOException) {
                // Who refuses a body closes before all of it is read. The answer may stand there to be read all the
                // same; if not, reading fails.
            }
        }
        // A GET is written where its answer is waited for, so it cannot be done before. It asks how an erasure has come
        // on, which a withdrawal does not stop.
        request.started()

        if (isAborted()) return HttpAnswer.Unreachable
        val status = connection.responseCode
        // Of an error without a body there is no stream to be had.
        val answer = if (status < 400) connection.inputStream else connection.errorStream
        return HttpAnswer.Response(
            status = status,
            retryAfter = inSeconds(connection.getHeaderField("Retry-After"), connection.getHeaderField("Date")),
            body = answer?.use { beginning(it, lengthOf(connection)) }.orEmpty(),
        )
    }
}

/** What is wrong with the peer's certificate, if it is that. Each platform wraps it in its own way. */
private fun distrust(error: Exception): String? {
    val causes = generateSequence<Throwable>(error) { it.cause }.take(CAUSES)
    val cause =
        causes.firstOrNull {
            it is CertificateException || it is CertPathValidatorException || it is SSLPeerUnverifiedException
        }
    return cause?.run { message ?: javaClass.simpleName }
}

/** As it is told; -1 where it is not. Android before 7 has no `getContentLengthLong`. */
private fun lengthOf(answer: HttpURLConnection): Long = answer.getHeaderField("Content-Length")?.toLongOrNull() ?: -1

/**
 * The body, as far as it is read. Half of one says nothing but its status: what begins with a `1` or a `0` may go on
 * otherwise.
 */
private fun beginning(answer: InputStream, length: Long): String {
    val bytes = ByteArray(ANSWER_BYTES)
    var filled = 0
    try {
        while (filled < bytes.size) {
            val read = answer.read(bytes, filled, bytes.size - filled)
            if (read < 0) break
            filled += read
        }
    } catch (_: IOException) {
        return ""
    }
    if (filled < bytes.size && filled < length) return ""
    return String(bytes, 0, filled, Charsets.UTF_8)
}

/**
 * `Retry-After` as the core understands it: a date becomes seconds from the answer's own `Date`, so that a clock that
 * is wrong here does not matter, or from this clock where there is none.
 */
internal fun inSeconds(retryAfter: String?, date: String?): String? {
    val until = parse(retryAfter) ?: return retryAfter
    val now = parse(date) ?: Date()
    val seconds = (until.time - now.time) / 1000
    return if (seconds > 0) seconds.toString() else null
}

private fun parse(date: String?): Date? =
    try {
        val format = SimpleDateFormat("EEE, dd MMM yyyy HH:mm:ss zzz", Locale.US)
        format.isLenient = false
        date?.let { format.parse(it) }
    } catch (_: ParseException) {
        null
    }
