package dev.refrain

import dev.refrain.ffi.Consent as FfiConsent
import dev.refrain.ffi.HttpAnswer as FfiHttpAnswer
import dev.refrain.ffi.HttpRequest as FfiHttpRequest
import dev.refrain.ffi.HttpRequestInterface
import dev.refrain.ffi.HttpTransport as FfiHttpTransport

/** An app's own HTTP client, in place of the built-in one. */
public interface HttpTransport {
    /**
     * Sends one request and returns its answer. Called on one of the client's threads, without a lock held, and one
     * call at a time: before the next call, this one has returned or was asked to [cancel].
     *
     * In this order: connect to [HttpRequest.url]; take the body with [HttpRequest.open], and give up if there is none;
     * write headers and body of a `POST` of `application/json`, or the headers of a `GET` if the body is empty; call
     * [HttpRequest.started]; read the response, at most 64 KiB of it, without following redirects. A withdrawal waits
     * for the request between `open` and `started`, so do not wait for anything else there.
     *
     * Anything it throws counts as a network failure: the records are kept and sent later. The log names it, once.
     */
    public fun send(request: HttpRequest): HttpAnswer

    /**
     * Aborts the request in progress, if the platform can; its answer no longer matters. Called from another thread
     * than [send]. Must not wait for anything. A request that has its body and is not aborted keeps a withdrawal
     * waiting until [HttpRequest.started] is called or [send] has returned; after five seconds the withdrawal throws
     * `NOT_FENCED`. One minute after it began, the request is abandoned.
     */
    public fun cancel()
}

/** One request, for a transport to send. */
public class HttpRequest internal constructor(private val native: HttpRequestInterface) {
    /** Where it goes. */
    public val url: String
        get() = native.url()

    /**
     * The number of bytes that [open] will return; 0 means `GET`. For HTTP clients that have to know this before they
     * connect.
     */
    public val bodyLength: Long
        get() = native.bodyLength().toLong()

    /**
     * The body, if it may be sent at this moment: consent is read again here. Returned once only. From now until
     * [started], withdrawals by any process on the folder wait for this request.
     */
    public fun open(): ByteArray? = native.open()

    /** Reports that headers and body have been written, or will not be. */
    public fun started(): Unit = native.started()
}

/** The outcome of a request. */
public sealed class HttpAnswer {
    /** There was a response. */
    public data class Response(
        /** The HTTP status. */
        val status: Int,
        /** The `Retry-After` header in seconds. If it is a date, counted from the response's `Date`. */
        val retryAfter: String?,
        /** The body; the first 64 KiB are enough. */
        val body: String,
    ) : HttpAnswer()

    /** No connection, or it broke. Also if [HttpRequest.open] returned no body. */
    public data object Unreachable : HttpAnswer()

    /** No response in time. */
    public data object TimedOut : HttpAnswer()
}

/** A transport as the library calls it, on threads of its own. Nothing may be thrown through native code. */
internal class Host(private val transport: HttpTransport, private val listener: ConsentListener?) : FfiHttpTransport {
    private val warnings = Warnings()

    override fun send(request: FfiHttpRequest): FfiHttpAnswer =
        try {
            lendLoader(transport)
            native(transport.send(HttpRequest(request)))
        } catch (error: Throwable) {
            warnings.say("the transport throws ${kind(error)}; what it was to send is kept, and sent later")
            FfiHttpAnswer.Unreachable
        }

    override fun cancel() {
        try {
            transport.cancel()
        } catch (error: Throwable) {
            // The request is left behind.
            warnings.say("the transport throws ${kind(error)} where it is to break off")
        }
    }

    override fun notice(text: String): Unit = log(text)

    override fun consentChanged(consent: FfiConsent) {
        if (listener == null) return
        try {
            lendLoader(listener)
            listener.onConsent(consent.toConsent())
        } catch (error: Throwable) {
            warnings.say("the consent listener that this app has set throws ${kind(error)}")
        }
    }

    /** A thread that the library brings has no class loader, by which HTTP clients, say, look for their own parts. */
    private fun lendLoader(to: Any) {
        val thread = Thread.currentThread()
        if (thread.contextClassLoader == null) thread.contextClassLoader = to.javaClass.classLoader
    }

    private fun native(answer: HttpAnswer): FfiHttpAnswer =
        when (answer) {
            is HttpAnswer.Response ->
                // What is no status is nobody's answer.
                if (answer.status !in 0..UShort.MAX_VALUE.toInt()) FfiHttpAnswer.Unreachable
                else FfiHttpAnswer.Response(answer.status.toUShort(), answer.retryAfter, answer.body)
            HttpAnswer.Unreachable -> FfiHttpAnswer.Unreachable
            HttpAnswer.TimedOut -> FfiHttpAnswer.TimedOut
        }
}
