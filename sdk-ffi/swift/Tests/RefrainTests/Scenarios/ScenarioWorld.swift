import Foundation
import Refrain

private let token = "scenario"
/// How long `soon` may take, in seconds; only a broken client ever uses it up.
private let soon: TimeInterval = 20
private let settings: Set = [
    "default_consent", "honor_gpc", "honor_dnt", "flush_interval", "batch_size", "queue_limit_bytes", "queue_limit_age",
    "id_merge", "deny_list",
]
private let signals: Set = ["gpc", "dnt", "host"]

/// What a scenario is played in.
final class ScenarioWorld {
    private let folders = Folder()
    private let server: MockServer
    private var clients: [String: Client] = [:]
    private var words = Words()

    /// One that has run; without a process it is stopped.
    private struct Client {
        let device: String
        var settings: [String: Refrain.Value] = ["flush_interval": 3600]
        var signals: [String: Refrain.Value] = [:]
        var process: ClientProcess?
    }

    init() throws {
        server = try MockServer()
    }

    /// What a step says.
    private struct Step {
        let what: Refrain.Value
        let modifiers: [String: Refrain.Value]

        func on() throws -> String { try modifiers["on"]?.string() ?? "first" }

        func device() throws -> String { try modifiers["device"]?.string() ?? "device" }

        func isSoon() throws -> Bool { try modifiers["soon"]?.truth() ?? false }
    }

    private struct Verb: Sendable {
        let modifiers: Set<String>
        let play: @Sendable (ScenarioWorld, Step) async throws -> Void

        init(_ modifiers: Set<String>, _ play: @escaping @Sendable (ScenarioWorld, Step) async throws -> Void) {
            self.modifiers = modifiers
            self.play = play
        }
    }

    private static let verbs: [String: Verb] = [
        "start": Verb(["on", "device", "signals"]) { try await $0.start($1) },
        "stop": Verb(["on"]) { try await $0.stop($1) },
        "shutdown": Verb(["on"]) { try await $0.shutdown($1) },
        "call": Verb(["with", "gives", "times", "on"]) { try await $0.call($1) },
        "opt_in": Verb(["on"]) { try await $0.optIn($1) },
        "opt_out": Verb(["on"]) { try await $0.optOut($1) },
        "signals": Verb(["on"]) { try await $0.signal($1) },
        "flush": Verb(["on", "soon"]) { try await $0.flush($1) },
        "server": Verb(["gives", "soon"]) { try await $0.askServer($1) },
        "damage": Verb(["device"]) { try $0.damage($1) },
        "remove": Verb(["device"]) { try $0.remove($1) },
        "remember": Verb(["on"]) { try await $0.remember($1) },
        "consent": Verb(["on", "soon"]) { try await $0.checkConsent($1) },
        "ids": Verb(["on", "soon"]) { try await $0.check("ids", $1) },
        "stats": Verb(["on", "soon"]) { try await $0.check("stats", $1) },
        "outbox": Verb(["on", "soon"]) { try await $0.check("outbox", $1) },
        "kept": Verb(["device", "soon"]) { try await $0.checkKept($1) },
        "kept_with": Verb(["device", "soon"]) { try await $0.checkKeptWith($1) },
        "kept_without": Verb(["device"]) { try $0.checkKeptWithout($1) },
        "arrived": Verb(["any_order"]) { try await $0.checkArrived($1) },
        "profiles": Verb([]) { try await $0.checkSet("profiles", $1) },
        "groups": Verb([]) { try await $0.checkSet("groups", $1) },
    ]

    /// Plays a step. Its words are looked at before anything is done.
    func play(_ step: Refrain.Value) async throws {
        let members = try step.object()
        let names = members.keys.filter { Self.verbs[$0] != nil && !($0 == "signals" && members["start"] != nil) }
        guard names.count == 1, let verb = Self.verbs[names[0]], let what = members[names[0]] else {
            throw Unplayable("a step has one verb, not \(names)")
        }
        let modifiers = members.filter { $0.key != names[0] }
        let unknown = Set(modifiers.keys).subtracting(verb.modifiers)
        if !unknown.isEmpty { throw Unplayable("\(names[0]) takes no \(unknown)") }
        try await verb.play(self, Step(what: what, modifiers: modifiers))
        try await checkBooks()
    }

    // MARK: - What happens

    private func start(_ step: Step) async throws {
        let said = try step.what.members(settings)
        let on = try step.on()
        var client = try clients[on] ?? Client(device: step.device())
        if client.process != nil { throw Unplayable("\(on) is running already") }
        if step.modifiers["device"] != nil, try step.device() != client.device {
            throw Unplayable("\(on) was on another device")
        }
        client.signals = try step.modifiers["signals"]?.members(signals) ?? client.signals
        client.settings.merge(said) { $1 }
        let process = try ClientProcess()
        client.process = process
        clients[on] = client
        let own: [String: Refrain.Value] = [
            "token": .string(token), "endpoint": .string(server.url),
            "data_dir": .string(folder(client.device).path),
        ]
        let all = client.settings.merging(own) { $1 }
        _ = try await process.ask("start", ["settings": .object(all), "signals": .object(client.signals)])
    }

    private func stop(_ step: Step) async throws {
        let on = try step.on()
        let process = try running(on)
        switch step.what {
        case "close":
            clients[on]?.process = nil
            _ = try await process.ask("shutdown")
            try await process.leave()
        case "kill":
            clients[on]?.process = nil
            await process.destroy()
        default: throw Unplayable("nothing ends by \(shown(step.what))")
        }
    }

    private func shutdown(_ step: Step) async throws {
        _ = try step.what.members([])
        _ = try await running(step.on()).ask("shutdown")
    }

    private func call(_ step: Step) async throws {
        let gives = step.modifiers["gives"] ?? "accepted"
        if gives != "accepted" && gives != "held" {
            guard try gives.members(["rejected"])["rejected"]?.string() != nil else {
                throw Unplayable("a call cannot give \(shown(gives))")
            }
        }
        let method = Refrain.Value.string(try step.what.string())
        let with = try Refrain.Value.array(step.modifiers["with"]?.list() ?? [])
        let process = try running(step.on())
        for index in 0..<(try step.modifiers["times"]?.count() ?? 1) {
            let given = try await process.ask("call", ["method": method, "with": words.at(index).value(with)])
            if given != gives { throw Mismatch("it gave \(shown(given))") }
        }
    }

    private func optIn(_ step: Step) async throws {
        _ = try step.what.members([])
        _ = try await running(step.on()).ask("opt_in")
    }

    private func optOut(_ step: Step) async throws {
        let how = try step.what.members(["erase", "delete_profile"])
        _ = try await running(step.on()).ask("opt_out", ["how": .object(how)])
    }

    private func signal(_ step: Step) async throws {
        let said = try step.what.members(signals)
        _ = try await running(step.on()).ask("signals", ["signals": .object(said)])
        clients[try step.on()]?.signals = said
    }

    private func flush(_ step: Step) async throws {
        let wanted = try step.what.truth()
        try await attempt(step) {
            let answer = try await running(step.on()).ask("flush")
            if answer != .bool(wanted) { throw Mismatch("it answered \(shown(answer))") }
        }
    }

    private func askServer(_ step: Step) async throws {
        let request = try step.what.list()
        guard 2...3 ~= request.count else { throw Unplayable("a request is a method, a path and perhaps a body") }
        let (method, path) = try (request[0].string(), request[1].string())
        let body = try request.dropFirst(2).first.map(words.value)
        try await attempt(step) {
            let answer = try await ask(method, path, body)
            if let wanted = step.modifiers["gives"] { try words.compare(wanted, answer, "the answer") }
        }
    }

    private func damage(_ step: Step) throws {
        for slot in try slots(step) {
            var content = try Data(contentsOf: slot)
            content[content.count - 1] ^= 0x10
            try content.write(to: slot)
        }
    }

    private func remove(_ step: Step) throws {
        for slot in try slots(step) { try FileManager.default.removeItem(at: slot) }
    }

    /// The copies of a device's consent record.
    private func slots(_ step: Step) throws -> [URL] {
        let device = try step.device()
        guard step.what == "consent" else { throw Unplayable("\(shown(step.what)) cannot be hurt") }
        let running = clients.filter { $0.value.device == device && $0.value.process != nil }.keys
        if !running.isEmpty { throw Unplayable("\(running) runs") }
        let slots = files(device).map(\.path).filter { $0.contains(".consent.") }
        if slots.count != 2 { throw Unplayable("\(slots)") }
        return slots.map(folder(device).appendingPathComponent)
    }

    private func remember(_ step: Step) async throws {
        let ids = try await state(step.on())["ids"]
        for (name, key) in try step.what.object() {
            guard key == "device_id" || key == "distinct_id" else { throw Unplayable("\(shown(key)) is no id") }
            guard case let .string(id) = ids[try key.string()] else { throw Mismatch("it has no \(shown(key))") }
            words.remembered[name] = id
        }
    }

    // MARK: - What must be true

    private func checkConsent(_ step: Step) async throws {
        try await attempt(step) {
            let state = try await state(step.on())
            let consent = state["consent"]
            try words.compare(step.what, consent, "consent")
            if state["has_opted_out"] != .bool(consent["decision"] == "denied") {
                throw Mismatch("has_opted_out() contradicts \(shown(consent))")
            }
            if try !consent["sentence"].string().hasSuffix(".") { throw Mismatch("no sentence: \(shown(consent))") }
        }
    }

    private func check(_ part: String, _ step: Step) async throws {
        try await attempt(step) { try await words.compare(step.what, state(step.on())[part], part) }
    }

    private func checkKept(_ step: Step) async throws {
        let (word, device) = try (step.what.string(), step.device())
        guard ["untouched", "nothing", "consent", "data"].contains(word) else {
            throw Unplayable("`\(word)` is nothing that is kept")
        }
        try await attempt(step) {
            try checkFolder(word, device)
            for (name, client) in clients where client.device == device && client.process != nil {
                try await checkAudit(word, state(name)["audit"])
            }
        }
    }

    private func checkFolder(_ word: String, _ device: String) throws {
        let full = files(device).filter { !$0.bytes.isEmpty }.map(\.path)
        let consent = full.filter { $0.contains(".consent.") }
        let data = full.filter { !$0.contains(".consent.") && $0.split(separator: "/").last != "owner" }
        let holds =
            switch word {
            case "untouched": !FileManager.default.fileExists(atPath: folder(device).path)
            case "nothing": full.isEmpty
            case "consent": !consent.isEmpty && data.isEmpty
            default: !data.isEmpty
            }
        if !holds { throw Mismatch("the folder holds \(full)") }
    }

    private func checkAudit(_ word: String, _ audit: Refrain.Value) throws {
        let isAnonymous = audit["ids"] == []
        let isQuiet = audit["super_properties"] == [] && audit["counts"] == [0, 0, 0]
        let kinds = Set(try audit["files"].list())
        let holds =
            switch word {
            case "untouched", "nothing": isAnonymous && kinds.isEmpty
            case "consent": isAnonymous && isQuiet && kinds == ["consent"]
            default: !kinds.subtracting(["consent"]).isEmpty
            }
        if !holds { throw Mismatch("audit() lists \(shown(audit))") }
    }

    private func checkKeptWith(_ step: Step) async throws {
        let texts = try texts(step)
        try await attempt(step) {
            let missing = try texts.filter { try holding($0, step).isEmpty }
            if !missing.isEmpty { throw Mismatch("\(missing) is not there") }
        }
    }

    private func checkKeptWithout(_ step: Step) throws {
        for text in try texts(step) {
            let found = try holding(text, step)
            if !found.isEmpty { throw Mismatch("\(text) stands in \(found)") }
        }
    }

    private func texts(_ step: Step) throws -> [String] {
        let texts = try words.value(step.what).list().map { try $0.string() }
        if texts.isEmpty || texts.contains("") { throw Unplayable("\(texts) cannot be looked for") }
        return texts
    }

    /// The files of a device in whose names or bytes a text stands.
    private func holding(_ text: String, _ step: Step) throws -> [String] {
        try files(step.device()).filter { path, bytes in
            Data(path.utf8).range(of: Data(text.utf8)) != nil || bytes.range(of: Data(text.utf8)) != nil
        }.map(\.path)
    }

    private func checkArrived(_ step: Step) async throws {
        let anyOrder = try step.modifiers["any_order"]?.truth() ?? false
        var open = try step.what.list().flatMap(wanted)
        // If they do not come, what did is shown.
        let waiting: Refrain.Value = ["min": open.count, "timeout_ms": Int(soon * 1_000), "limit": 0]
        _ = try await server.send("POST", "/mock/wait", waiting)
        let events = try await ask("GET", "/mock/events?limit=100000")["events"].list()
        let names = events.map { $0["event"].text }
        if events.count != open.count { throw Mismatch("\(events.count) events have arrived: \(names)") }
        try checkForm(events)
        for event in events {
            let place = anyOrder ? try open.firstIndex { try words.at($0.index).matches($0.pattern, event) } : 0
            guard let place else { throw Mismatch("nobody waits for \(shown(event)); there are \(names)") }
            let record = open.remove(at: place)
            try words.at(record.index).compare(record.pattern, event, event["event"].text)
        }
    }

    /// The patterns of a record of `arrived`, each with its place in `times`.
    private func wanted(_ record: Refrain.Value) throws -> [(pattern: Refrain.Value, index: Int)] {
        if case .string = record { return [(["event": record], 0)] }
        var members = try record.members(["event", "properties", "times"])
        if members["event"] == nil { throw Unplayable("a record is of an event: \(shown(record))") }
        let times = try members.removeValue(forKey: "times")?.count() ?? 1
        return (0..<times).map { (.object(members), $0) }
    }

    private func checkSet(_ which: String, _ step: Step) async throws {
        var open = try step.what.list()
        let found = try await ask("GET", "/mock/" + which)[which].list()
        if found.count != open.count { throw Mismatch("there are \(shown(.array(found)))") }
        for one in found {
            guard let place = try open.firstIndex(where: { try words.matches($0, one) }) else {
                throw Mismatch("nobody waits for \(shown(one))")
            }
            open.remove(at: place)
        }
    }

    /// C15, of every client that runs.
    private func checkBooks() async throws {
        for (name, client) in clients where client.process != nil {
            let stats = try await state(name)["stats"]
            let sum = { try $0.reduce(0) { try $0 + $1.count() } } as ([Refrain.Value]) throws -> Int
            let given = try sum(["tracked", "recovered", "adopted"].map { stats[$0] })
            let taken = try sum(["delivered", "queued", "held", "given_up"].map { stats[$0] })
            let dropped = try sum(Array(stats["dropped"].object().values))
            if given != taken + dropped { throw Mismatch("C15: the books of \(name): \(shown(stats))") }
        }
    }

    // MARK: - Who is asked

    private func running(_ name: String) throws -> ClientProcess {
        guard let process = clients[name]?.process else { throw Unplayable("\(name) is not running") }
        return process
    }

    /// What a client says of itself.
    private func state(_ name: String) async throws -> Refrain.Value {
        try await running(name).ask("state")
    }

    private func folder(_ device: String) -> URL {
        folders.above.appendingPathComponent(device)
    }

    /// What a device's folder holds, by path in it. What goes at this moment is gone.
    private func files(_ device: String) -> [(path: String, bytes: Data)] {
        let above = folder(device)
        let paths = FileManager.default.enumerator(atPath: above.path)?.compactMap { $0 as? String } ?? []
        return paths.sorted().compactMap { path in
            (try? Data(contentsOf: above.appendingPathComponent(path))).map { (path, $0) }
        }
    }

    /// What the server answers.
    private func ask(_ method: String, _ path: String, _ body: Refrain.Value? = nil) async throws -> Refrain.Value {
        let answer = try await server.send(method, path, body)
        if answer.status != 200 {
            throw Mismatch("\(answer.status) \(String(decoding: answer.body, as: UTF8.self))")
        }
        return try said(answer.body)
    }

    /// Once, or until it holds.
    private func attempt(_ step: Step, _ check: () async throws -> Void) async throws {
        let deadline = try step.isSoon() ? Date(timeIntervalSinceNow: soon) : .distantPast
        while true {
            do {
                return try await check()
            } catch let mismatch as Mismatch where Date() > deadline {
                throw mismatch
            } catch is Mismatch {
                await Task.yield()
            }
        }
    }
}

/// What every event of a client's has.
private func checkForm(_ events: [Refrain.Value]) throws {
    var ids: Set<String> = []
    for event in events {
        let properties = try event["properties"].object()
        let text = { (name: String) -> String in
            if case let .string(text) = properties[name] { text } else { "" }
        }
        let isDated = if case let .int(time) = event["time_ms"] { time > 0 } else { false }
        guard isDated, text("$insert_id").count == 32, ids.insert(text("$insert_id")).inserted,
            text("$device_id").count == 36, text("mp_lib").hasPrefix("refrain-"), !text("$lib_version").isEmpty
        else { throw Mismatch("an event has not its form: \(shown(event))") }
    }
}
