import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// HTTP and HTTPS by `URLSession`, which keeps nothing: no cookie, no cache, no credential.
///
/// `URLSession` connects by itself once a request is resumed, so the body is taken right before that, and the request
/// counts as started when all of it is handed to the connection. Where none is there yet, a withdrawal by another
/// process on the folder waits for it; one by this process breaks it off.
final class URLSessionTransport: Refrain.HTTPTransport {
    private let line: Line
    private let session: URLSession
    private let warnings: Warnings

    /// - Parameters:
    ///   - connectTimeout: how long the body may take until some of it is on its way, in seconds.
    ///   - answerTimeout: how long nothing may come or go, in seconds.
    init(
        connectTimeout: TimeInterval = 10, answerTimeout: TimeInterval = 30, warnings: Warnings = Warnings()
    ) {
        self.warnings = warnings
        let configuration = URLSessionConfiguration.ephemeral
        configuration.httpCookieStorage = nil
        configuration.httpShouldSetCookies = false
        configuration.urlCache = nil
        configuration.urlCredentialStorage = nil
        configuration.requestCachePolicy = .reloadIgnoringLocalCacheData
        configuration.timeoutIntervalForRequest = answerTimeout
        configuration.httpMaximumConnectionsPerHost = 1
        line = Line(connectTimeout: connectTimeout)
        session = URLSession(configuration: configuration, delegate: line, delegateQueue: nil)
    }

    deinit {
        // The session holds its delegate until then.
        session.invalidateAndCancel()
    }

    func send(_ request: Refrain.HTTPRequest) throws -> Refrain.HTTPAnswer {
        guard let url = URL(string: request.url) else { return .unreachable }
        let exchange = Exchange(started: request.started)
        line.current = exchange
        // From here to `started` the folder's sending lock is held: a withdrawal waits for it, and no longer.
        guard let body = request.open() else { return .unreachable }
        var http = URLRequest(url: url)
        http.setValue("application/json", forHTTPHeaderField: "Accept")
        http.setValue("*", forHTTPHeaderField: "Accept-Language")  // instead of the person's
        http.setValue("refrain-swift", forHTTPHeaderField: "User-Agent")
        if body.isEmpty {
            exchange.begin(session.dataTask(with: http))
            // Nothing tells when it is written. It asks how an erasure has come on, which a withdrawal does not stop.
            request.started()
        } else {
            http.httpMethod = "POST"
            http.setValue("application/json", forHTTPHeaderField: "Content-Type")
            exchange.begin(session.uploadTask(with: http, from: body), bodyLength: body.count)
        }
        let answer = exchange.wait(connectTimeout: line.connectTimeout)
        if let distrust = exchange.distrust {
            warnings.say("the collector's certificate is not trusted: \(distrust)")
        }
        return answer
    }

    func cancel() {
        line.current?.abort()
    }
}

/// Of the answer's body; no collector's is longer.
private let answerBytes = 65_536
/// What the session gets to let go of a connection, in seconds. By then the library has left the request behind.
private let closing = 60.0

/// Why the peer is not believed to be the collector, if that is the error.
func certificateFault(_ error: any Error) -> String? {
    guard let error = error as? URLError else { return nil }
    return switch error.code {
    case .serverCertificateHasBadDate, .serverCertificateNotYetValid, .serverCertificateHasUnknownRoot,
        .serverCertificateUntrusted:
        error.localizedDescription
    // On Linux there is no code for it, only the words of curl.
    case .unknown where error.localizedDescription.contains("certificate"): error.localizedDescription
    default: nil
    }
}

/// What the session tells, passed on to the exchange that it is about.
private final class Line: NSObject, URLSessionDataDelegate, @unchecked Sendable {
    let connectTimeout: TimeInterval
    private let lock = NSLock()
    private var exchange: Exchange?

    init(connectTimeout: TimeInterval) {
        self.connectTimeout = connectTimeout
    }

    /// The one under way.
    var current: Exchange? {
        get { lock.withLock { exchange } }
        set { lock.withLock { exchange = newValue } }
    }

    private func exchange(of task: URLSessionTask) -> Exchange? {
        current.flatMap { $0.isCarriedOut(by: task) ? $0 : nil }
    }

    func urlSession(
        _: URLSession, task: URLSessionTask, didSendBodyData _: Int64, totalBytesSent sent: Int64,
        totalBytesExpectedToSend _: Int64
    ) {
        exchange(of: task)?.sent(sent)
    }

    func urlSession(
        _: URLSession, task _: URLSessionTask, willPerformHTTPRedirection _: HTTPURLResponse, newRequest _: URLRequest,
        completionHandler: @escaping (URLRequest?) -> Void
    ) {
        completionHandler(nil)
    }

    func urlSession(_: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
        exchange(of: dataTask)?.received(data)
    }

    func urlSession(_: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
        exchange(of: task)?.completed(error)
    }
}

/// One request and its answer.
private final class Exchange: @unchecked Sendable {
    private let started: @Sendable () -> Void
    private let state = NSCondition()
    private var task: URLSessionTask?
    private var bodyLength = 0
    private var isUnderWay = false
    private var isStarted = false
    private var isWriting = false
    private var body = Data()
    private var answer: Refrain.HTTPAnswer?
    private var fault: String?

    init(started: @escaping @Sendable () -> Void) {
        self.started = started
    }

    /// Why the peer is not believed to be the collector.
    var distrust: String? { state.withLock { fault } }

    func begin(_ task: URLSessionTask, bodyLength: Int = 0) {
        let isWanted = state.withLock {
            self.task = task
            self.bodyLength = bodyLength
            isUnderWay = bodyLength == 0
            isStarted = isUnderWay
            isWriting = answer == nil
            return isWriting
        }
        if isWanted { task.resume() } else { task.cancel() }
    }

    func isCarriedOut(by task: URLSessionTask) -> Bool {
        state.withLock { self.task === task }
    }

    /// Comes back when the body is written or will not be: what was broken off, or given up, the session ends by and by,
    /// until then it may write, and a withdrawal waits for that.
    func wait(connectTimeout: TimeInterval) -> Refrain.HTTPAnswer {
        let deadline = Date(timeIntervalSinceNow: connectTimeout)
        let isConnected = state.withLock {
            while answer == nil && !isUnderWay {
                if !state.wait(until: deadline) { return answer != nil || isUnderWay }
            }
            return true
        }
        if !isConnected { end(.unreachable) }
        return state.withLock {
            while answer == nil { state.wait() }
            let deadline = Date(timeIntervalSinceNow: closing)
            while isWriting && !isStarted && state.wait(until: deadline) {}
            return answer ?? .unreachable
        }
    }

    /// Ends it with an answer; the first one counts.
    func end(_ answer: Refrain.HTTPAnswer) {
        let task = state.withLock {
            if self.answer == nil { self.answer = answer }
            state.broadcast()
            return self.task
        }
        task?.cancel()
    }

    func abort() {
        end(.unreachable)
    }

    func sent(_ bytes: Int64) {
        let isStarting = state.withLock {
            isUnderWay = true
            state.broadcast()
            if isStarted || bytes < Int64(bodyLength) { return false }
            isStarted = true
            return true
        }
        if isStarting { started() }
    }

    func received(_ data: Data) {
        let isPlenty = state.withLock {
            isUnderWay = true
            body.append(data.prefix(answerBytes - body.count))
            return body.count >= answerBytes
        }
        if isPlenty { answered() }
    }

    func completed(_ error: (any Error)?) {
        let isAnswered = state.withLock {
            isWriting = false
            // Half of an answer says nothing but its status: what begins with a `1` or a `0` may go on otherwise.
            if let error {
                body = Data()
                fault = certificateFault(error)
            }
            state.broadcast()
            return task?.response != nil
        }
        if let error, !isAnswered {
            end((error as? URLError)?.code == .timedOut ? .timedOut : .unreachable)
        } else {
            answered()
        }
    }

    private func answered() {
        let (task, body) = state.withLock { (self.task, self.body) }
        guard let response = task?.response as? HTTPURLResponse else { return end(.unreachable) }
        let header = response.value(forHTTPHeaderField:)
        let retryAfter = inSeconds(retryAfter: header("Retry-After"), date: header("Date"))
        end(.response(status: response.statusCode, retryAfter: retryAfter, body: String(decoding: body, as: UTF8.self)))
    }
}
