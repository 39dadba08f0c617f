import Foundation
internal import RefrainFFI

extension Refrain {
    /// An app's own HTTP client, in place of `URLSession`.
    public protocol HTTPTransport: AnyObject, Sendable {
        /// Sends one request and returns its answer. Called on one of the client's threads, which may block, without a
        /// lock held, and one call at a time: before the next call, this one has returned or was asked to ``cancel()``.
        ///
        /// In this order: connect to ``HTTPRequest/url``; take the body with ``HTTPRequest/open()``, and give up if
        /// there is none; write headers and body of a `POST` of `application/json`, or the headers of a `GET` if the
        /// body is empty; call ``HTTPRequest/started()``; read the response, at most 64 KiB of it, without following
        /// redirects. A withdrawal waits for the request between `open` and `started`, so do not wait for anything else
        /// there.
        ///
        /// - Throws: any error counts as a network failure: the records are kept and sent later. The log names it,
        ///   once.
        func send(_ request: HTTPRequest) throws -> HTTPAnswer

        /// Aborts the request in progress, if the platform can; its answer no longer matters. Called from another
        /// thread than ``send(_:)``. Must not wait for anything. A request that has its body and is not aborted keeps a
        /// withdrawal waiting until ``HTTPRequest/started()`` is called or ``send(_:)`` has returned; after five
        /// seconds the withdrawal throws `notFenced`. One minute after it began, the request is abandoned.
        func cancel()
    }

    /// One request, for a transport to send.
    public struct HTTPRequest: Sendable {
        /// Where it goes.
        public let url: String
        private let opening: @Sendable () -> Data?
        private let starting: @Sendable () -> Void

        init(url: String, open: @escaping @Sendable () -> Data?, started: @escaping @Sendable () -> Void) {
            self.url = url
            opening = open
            starting = started
        }

        /// The body, if it may be sent at this moment: consent is read again here. Returned once only. From now until
        /// ``started()``, withdrawals by any process on the folder wait for this request.
        public func open() -> Data? {
            opening()
        }

        /// Reports that headers and body have been written, or will not be.
        public func started() {
            starting()
        }
    }

    /// The outcome of a request.
    public enum HTTPAnswer: Sendable, Hashable {
        /// There was a response. `retryAfter` is the `Retry-After` header in seconds; a date is counted from the
        /// response's `Date`. The first 64 KiB of the body are enough.
        case response(status: Int, retryAfter: String?, body: String)
        /// No connection, or it broke. Also if ``HTTPRequest/open()`` returned no body.
        case unreachable
        /// No response in time.
        case timedOut
    }
}

/// A transport as the library calls it.
final class Host: RefrainFFI.HttpTransport {
    private let transport: any Refrain.HTTPTransport
    private let onConsent: (@Sendable (Refrain.Consent) -> Void)?
    private let warnings: Warnings

    init(
        _ transport: any Refrain.HTTPTransport, _ onConsent: (@Sendable (Refrain.Consent) -> Void)?,
        _ warnings: Warnings = Warnings()
    ) {
        self.transport = transport
        self.onConsent = onConsent
        self.warnings = warnings
    }

    func send(request: RefrainFFI.HttpRequest) throws -> RefrainFFI.HttpAnswer {
        let request = Refrain.HTTPRequest(url: request.url(), open: request.open, started: request.started)
        return switch try answer(to: request) {
        case let .response(status, retryAfter, body):
            // What is no status is nobody's answer.
            UInt16(exactly: status).map { .response(status: $0, retryAfter: retryAfter, body: body) } ?? .unreachable
        case .unreachable: .unreachable
        case .timedOut: .timedOut
        }
    }

    func answer(to request: Refrain.HTTPRequest) throws -> Refrain.HTTPAnswer {
        do {
            return try transport.send(request)
        } catch {
            warnings.say("the transport throws \(type(of: error)); what it was to send is kept, and sent later")
            throw error
        }
    }

    func cancel() {
        transport.cancel()
    }

    func notice(text: String) {
        log(text)
    }

    func consentChanged(consent: RefrainFFI.Consent) {
        onConsent?(Refrain.Consent(consent))
    }
}
