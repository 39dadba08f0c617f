import Foundation
import Refrain

/// What a client that is closed has to deliver what is queued, in seconds.
private let closing: TimeInterval = 20
/// What a flush may take. Long enough for any machine; nothing waits for it to pass.
private let patience: TimeInterval = 60

/// Plays the client of a scenario, by the package's public face.
final class Player {
    private var client: Refrain?

    /// Does what a line asks; the line to print.
    func answer(to line: String) async throws -> Data {
        let answer: [String: Any]
        do {
            let asked = try Members(JSONSerialization.jsonObject(with: Data(line.utf8)))
            answer = ["done": try await obey(asked.get("do"), asked)]
        } catch {
            answer = ["error": "\(error)"]
        }
        return try JSONSerialization.data(withJSONObject: answer) + Data("\n".utf8)
    }

    /// Does one thing; what came of it, as JSON.
    private func obey(_ what: String, _ asked: Members) async throws -> Any {
        if what == "start" {
            client = try start(asked.members("settings"), signals(asked.members("signals")))
            return NSNull()
        }
        guard let client else { throw NotUnderstood("it was not started") }
        switch what {
        case "call": return try call(client, asked.get("method"), Arguments(all: asked.get("with")))
        case "flush": return await client.flush(timeout: patience)
        case "state": return try state(client)
        case "opt_in": try await client.optIn()
        case "opt_out":
            let how = try asked.members("how")
            try await client.optOut(erase: how.isSet("erase"), deleteProfile: how.isSet("delete_profile"))
        case "signals":
            let signals = try signals(asked.members("signals"))
            client.signals(gpc: signals.gpc, dnt: signals.dnt, host: signals.host)
        case "shutdown": await client.close(timeout: closing)
        default: throw NotUnderstood("`\(what)` is not known")
        }
        return NSNull()
    }
}

private func start(_ settings: Members, _ signals: Refrain.Signals) throws -> Refrain {
    var configured: Result<Void, any Error> = .success(())
    let client = try Refrain.start(token: settings.get("token")) { configuration in
        configuration.signals = signals
        configured = Result { try configuration.take(settings) }
    }
    try configured.get()
    _ = client.consent()  // waits until the folder has been read
    return client
}

extension Refrain.Configuration {
    fileprivate mutating func take(_ settings: Members) throws {
        for name in settings.all.keys where name != "token" {
            switch name {
            case "endpoint": endpoint = try settings.get(name)
            case "data_dir": dataDir = URL(fileURLWithPath: try settings.get(name), isDirectory: true)
            case "default_consent":
                let words: [String: Refrain.DefaultConsent] = [
                    "granted": .granted, "denied": .denied, "pending": .pending,
                ]
                defaultConsent = try settings.word(name, words)
            case "honor_gpc": honorGpc = try settings.get(name)
            case "honor_dnt": honorDnt = try settings.get(name)
            case "flush_interval": flushInterval = try settings.get(name)
            case "batch_size": batchSize = try settings.get(name)
            case "queue_limit_bytes": queueLimitBytes = try settings.get(name)
            case "queue_limit_age": queueLimitAge = try settings.get(name)
            case "id_merge": idMerge = try settings.word(name, ["simplified": .simplified, "original": .original])
            case "deny_list": denyList = try settings.get(name)
            default: throw NotUnderstood("there is no setting `\(name)`")
            }
        }
    }
}

extension Members {
    fileprivate func word<Kind>(_ name: String, _ words: [String: Kind]) throws -> Kind {
        guard let value = words[try get(name)] else { throw NotUnderstood("`\(name)` is none of \(words.keys)") }
        return value
    }
}

private func signals(_ said: Members) throws -> Refrain.Signals {
    try Refrain.Signals(gpc: said.isSet("gpc"), dnt: said.isSet("dnt"), host: said.isSet("host"))
}

private func call(_ client: Refrain, _ method: String, _ with: Arguments) throws -> Any {
    let parts = method.split(separator: ".", maxSplits: 1).map(String.init)
    let outcome =
        switch (parts.first, parts.count) {
        case ("profile", 2): try update(client.profile(), parts[1], with)
        case ("group", 2): try update(client.group(with.text(0), with.text(1)), parts[1], with.from(2))
        default: try record(client, method, with)
        }
    switch outcome {
    case .accepted: return "accepted"
    case .held: return "held"
    case let .rejected(reason, hint):
        if hint.isEmpty { throw NotUnderstood("\(reason) has no hint") }
        return ["rejected": reason]
    }
}

private func record(_ client: Refrain, _ method: String, _ with: Arguments) throws -> Refrain.Outcome {
    switch (method, with.count) {
    case ("track", 1): try client.track(with.text(0))
    case ("track", 2): try client.track(with.text(0), with.properties(1))
    case ("identify", 1): try client.identify(with.text(0))
    case ("switch_user", 1): try client.switchUser(with.text(0))
    case ("alias", 1): try client.alias(with.text(0))
    case ("reset", 0): client.reset()
    case ("register", 1): try client.register(with.properties(0))
    case ("register_once", 1): try client.registerOnce(with.properties(0))
    case ("register_for_session", 1): try client.registerForSession(with.properties(0))
    case ("unregister", 1): try client.unregister(with.text(0))
    case ("time_event", 1): try client.timeEvent(with.text(0))
    case ("set_group", 2): try client.setGroup(with.text(0), with.text(1))
    case ("add_group", 2): try client.addGroup(with.text(0), with.text(1))
    case ("remove_group", 2): try client.removeGroup(with.text(0), with.text(1))
    default: throw NotUnderstood("there is no \(method) with \(with.count) arguments")
    }
}

private func update(_ profile: Refrain.Profile, _ operation: String, _ with: Arguments) throws -> Refrain.Outcome {
    switch (operation, with.count) {
    case ("set", 1): try profile.set(with.properties(0))
    case ("set_once", 1): try profile.setOnce(with.properties(0))
    case ("add", 1): try profile.add(with.properties(0))
    case ("append", 1): try profile.append(with.properties(0))
    case ("union", 1): try profile.union(with.properties(0))
    case ("remove", 1): try profile.remove(with.properties(0))
    case ("unset", _): try profile.unset(with.texts())
    case ("delete", 0): profile.delete()
    default: throw NotUnderstood("a profile has no \(operation) with \(with.count) arguments")
    }
}

/// Everything that the client says of itself.
private func state(_ client: Refrain) throws -> Any {
    let (consent, stats, audit) = (client.consent(), client.stats(), client.audit())
    let ids = ["device_id": client.deviceId, "distinct_id": client.distinctId]
    return [
        "consent": [
            "decision": consent.decision.rawValue, "verdict": consent.verdict.rawValue, "reason": consent.reason,
            "sentence": consent.sentence,
        ],
        "has_opted_out": client.hasOptedOut(),
        "ids": ids.compactMapValues { $0 },
        "stats": [
            "tracked": stats.tracked, "recovered": stats.recovered, "adopted": stats.adopted,
            "delivered": stats.delivered, "queued": stats.queued, "held": stats.held, "dropped": stats.dropped,
            "given_up": stats.givenUp, "queued_bytes": stats.queuedBytes, "damaged": stats.damaged,
            "wiped": stats.wiped, "rejected": stats.rejected,
        ] as [String: Any],
        "outbox": try audit.outbox.map { erasure -> [String: Any] in
            let answer = try erasure.answer.map { try JSONSerialization.jsonObject(with: Data($0.utf8)) }
            return ["kind": erasure.kind, "state": erasure.state, "answer": answer ?? NSNull()]
        },
        "audit": [
            "ids": [audit.deviceId, audit.distinctId].compactMap { $0 },
            "super_properties": audit.superProperties,
            "counts": [audit.queuedRecords, audit.heldRecords, audit.timers],
            "files": audit.files.filter { $0.bytes > 0 }.map(\.kind),
        ] as [String: Any],
    ] as [String: Any]
}
