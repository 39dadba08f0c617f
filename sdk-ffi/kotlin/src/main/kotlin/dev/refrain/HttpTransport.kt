package dev.refrain

import dev.refrain.ffi.Consent as FfiConsent
import dev.refrain.ffi.HttpAnswer as FfiHttpAnswer
import dev.refrain.ffi.HttpRequest as FfiHttpRequest
import dev.refrain.ffi.HttpRequestInterface
import dev.refrain.ffi.HttpTransport as FfiHttpTransport

/** An app's own HTTP client, in place of the built-in one. */
public interface HttpTransport {
    /**
     * Sends one request and returns its answer. Called on a thread of the client's, without a lock held, and one call
     * at a time: before the next one, this one has returned or was asked to [cancel].
     *
     * In this order: connect to [HttpRequest.url]; take the body by [HttpRequest.open], and give up if there is none;
     * write headers and body of a `POST` of `application/json`, or those of a `GET` if the body is empty; call
     * [HttpRequest.started]; read the answer, up to 64 KiB of it, without following redirects. Between `open` and
     * `started` a withdrawal waits for the request, so nothing else may be waited for there.
     *
     * Whatever it throws counts as a network failure: the records are kept and sent later. The log names it, once.
     */
    public fun send(request: HttpRequest): HttpAnswer

    /**
     * Break off the request that is under way, where the platform can; its answer is of no interest any more. Called
     * from another thread than [send]. Must not wait for anything. A request that has its body and is not broken off
     * keeps a withdrawal waiting until [HttpRequest.started], or until [send] has returned; after five seconds that
     * throws `NOT_FENCED`. A minute after its begin it is left behind.
     */
    public fun cancel()
}

/** One request, for a transport to carry out. */
public class HttpRequest internal constructor(private val native: HttpRequestInterface) {
    /** Where it goes. */
    public val url: String
        get() = native.url()

    /** How many bytes [open] gives out; 0 is a `GET`. For clients that have to know it before they connect. */
    public val bodyLength: Long
        get() = native.bodyLength().toLong()

    /**
     * The body, if it may be sent at this moment: consent is read again here. Gives it out once. From now until
     * [started] a withdrawal, of any process on the folder, waits for this request.
     */
    public fun open(): ByteArray? = native.open()

    /** Headers and body are written, or will not be. */
    public fun started(): Unit = native.started()
}

/** How a request ended. */
public sealed class HttpAnswer {
    /** Somebody answered. */
    public data class Response(
        /** The HTTP status. */
        val status: Int,
        /** The `Retry-After` header in seconds. Where it is a date, counted from the answer's `Date`. */
        val retryAfter: String?,
        /** The body; its first 64 KiB are plenty. */
        val body: String,
    ) : HttpAnswer()

    /** No connection, or it broke; also where [HttpRequest.open] gave no body. */
    public data object Unreachable : HttpAnswer()

    /** No answer in time. */
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
