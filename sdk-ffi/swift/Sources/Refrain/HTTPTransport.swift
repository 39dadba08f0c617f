import Foundation
internal import RefrainFFI

extension Refrain {
    /// An app's own HTTP client, in place of `URLSession`.
    public protocol HTTPTransport: AnyObject, Sendable {
        /// Sends one request and returns its answer. Called on a thread of the client's, which may wait, without a
        /// lock held, and one call at a time: before the next one, this one has returned or was asked to
        /// ``cancel()``.
        ///
        /// In this order: connect to ``HTTPRequest/url``; take the body by ``HTTPRequest/open()``, and give up if
        /// there is none; write headers and body of a `POST` of `application/json`, or those of a `GET` if the body
        /// is empty; call ``HTTPRequest/started()``; read the answer, up to 64 KiB of it, without following
        /// redirects. Between `open` and `started` a withdrawal waits for the request, so nothing else may be waited
        /// for there.
        ///
        /// - Throws: whatever it is, it counts as a network failure: the records are kept and sent later. The log
        ///   names it, once.
        func send(_ request: HTTPRequest) throws -> HTTPAnswer

        /// Break off the request that is under way, where the platform can; its answer is of no interest any more.
        /// Called from another thread than ``send(_:)``. Must not wait for anything. A request that has its body and is
        /// not broken off keeps a withdrawal waiting until ``HTTPRequest/started()``, or until ``send(_:)`` has returned;
        /// after five seconds that throws `notFenced`. A minute after its begin it is left behind.
        func cancel()
    }

    /// One request, for a transport to carry out.
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

        /// The body, if it may be sent at this moment: consent is read again here. Gives it out once. From now until
        /// ``started()`` a withdrawal, of any process on the folder, waits for this request.
        public func open() -> Data? {
            opening()
        }

        /// Headers and body are written, or will not be.
        public func started() {
            starting()
        }
    }

    /// How a request ended.
    public enum HTTPAnswer: Sendable, Hashable {
        /// Somebody answered. `retryAfter` is the `Retry-After` header in seconds, a date counted from the answer's
        /// `Date`; of the body the first 64 KiB are plenty.
        case response(status: Int, retryAfter: String?, body: String)
        /// No connection, or it broke; also where ``HTTPRequest/open()`` gave no body.
        case unreachable
        /// No answer in time.
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
