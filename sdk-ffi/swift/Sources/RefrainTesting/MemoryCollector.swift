import Foundation
import Refrain

/// A collector in memory. It keeps what it takes, and answers as a real one does or as it is told.
final class MemoryCollector: Refrain.HTTPTransport, @unchecked Sendable {
    // Signalled at every request.
    private let lock = NSCondition()
    private var away = false
    private var closed = false
    private var sent: [SentRequest] = []
    private var records: [Taken] = []
    private var told: [(status: Int, retryAfter: Int?)] = []
    /// Requests that were there at the last expectation.
    private var seen = 0
    private var erasures = 0

    /// Whether nobody reaches it.
    var isAway: Bool {
        get { lock.withLock { away } }
        set { lock.withLock { away = newValue } }
    }

    /// The same, between two processes.
    var isClosed: Bool {
        get { lock.withLock { closed } }
        set { lock.withLock { closed = newValue } }
    }

    var requests: [SentRequest] { lock.withLock { sent } }

    func send(_ request: Refrain.HTTPRequest) throws -> Refrain.HTTPAnswer {
        if isAway || isClosed { return .unreachable }
        guard let body = request.open() else { return .unreachable }
        // Noted before it counts as started: a withdrawal that waits for it finds it in the list.
        defer { request.started() }
        let value = body.isEmpty ? nil : Refrain.Value(any: try JSONSerialization.jsonObject(with: body))
        return lock.withLock {
            defer { lock.broadcast() }
            return take(request.url, value)
        }
    }

    func cancel() {
        // No request lasts.
    }

    func answerNext(status: Int, retryAfter: Int?) {
        lock.withLock { told.append((status, retryAfter)) }
    }

    /// Waits until more than so many requests have come.
    func waitForRequest(after count: Int, until deadline: Date) {
        lock.withLock {
            while sent.count <= count, lock.wait(until: deadline) {}
        }
    }

    /// What was taken of a kind, in order.
    func taken(_ kind: Taken.Kind) -> [Taken] {
        lock.withLock { records.filter { $0.kind == kind } }
    }

    /// The first record that fits and was not expected before.
    func expect(_ kind: Taken.Kind, _ fits: ([String: Refrain.Value]) -> Bool) -> [String: Refrain.Value]? {
        lock.withLock {
            guard let at = records.firstIndex(where: { $0.kind == kind && !$0.isExpected && fits($0.members) })
            else { return nil }
            records[at].isExpected = true
            seen = sent.count
            return records[at].members
        }
    }

    /// The requests since the last expectation, which this is one of.
    func unseen() -> [SentRequest] {
        lock.withLock {
            defer { seen = sent.count }
            return Array(sent[seen...])
        }
    }

    /// Under the lock.
    private func take(_ url: String, _ body: Refrain.Value?) -> Refrain.HTTPAnswer {
        let isErasure = asksForErasure(url)
        let told = told.isEmpty ? nil : told.removeFirst()
        let status = told?.status ?? (isErasure ? 202 : 200)
        let isTaken = 200..<300 ~= status
        let answer =
            if told == nil, isErasure {
                erase(body?.members["device_id"])
            } else if isTaken {
                #"{"error":null,"status":1}"#
            } else {
                #"{"error":"as told by the test","status":0}"#
            }
        sent.append(SentRequest(url: url, body: body, status: status))
        if isTaken {
            let kind: Taken.Kind = url.contains("/track/") ? .event : .profile
            records += (body?.elements ?? []).map { Taken(kind: kind, members: $0.members) }
        }
        return .response(status: status, retryAfter: told?.retryAfter.map(String.init), body: answer)
    }

    /// Done at once: a test would have to wait for it otherwise.
    private func erase(_ device: Refrain.Value?) -> String {
        erasures += 1
        let events = records.count { $0.kind == .event && SentEvent($0.members).properties["$device_id"] == device }
        return #"{"id":"\#(erasures)","state":"completed","receipt":{"events":\#(events)}}"#
    }
}
