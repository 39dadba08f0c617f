internal import CRefrain
import Foundation
internal import RefrainFFI

/// Records what happens, by the person's choice.
///
/// ```swift
/// let refrain = try Refrain.start(token: "project-token") {
///     $0.endpoint = "https://collector.example"
/// }
/// refrain.track("Opened the shop")                          // held in memory: nobody has decided yet
/// try await refrain.optIn()
/// refrain.track("Bought", ["item": "umbrella", "price": 12.5])
/// try await refrain.optOut(erase: true)                     // nothing is kept and nothing is sent any more
/// ```
///
/// The calls that record never throw and never wait: they say what became of the call. One client is enough for a
/// process, may be used from any thread or task, and shares its folder with other processes; on Apple's phones and
/// tablets see ``Configuration/dataDir``.
///
/// A client that is let go without ``close(timeout:)`` keeps in its folder what it has not sent.
public final class Refrain: Sendable {
    private let native: Client
    private let door: UInt64
    private let filter: Filter?
    private let warnings = Warnings()
    private let background: Background?

    /// Starts a client. Returns at once: files are read on a thread of the client's.
    ///
    /// - Parameters:
    ///   - token: the project's token.
    ///   - configure: changes what a client may be told at its start, see ``Configuration``.
    /// - Throws: ``ConfigError``: a setting cannot work.
    public static func start(
        token: String,
        _ configure: (inout Configuration) -> Void = { _ in }
    ) throws(ConfigError) -> Refrain {
        var configuration = Configuration()
        configure(&configuration)
        return try Refrain(token, configuration)
    }

    /// The library's version.
    public static var version: String { RefrainFFI.version() }

    private init(_ token: String, _ configuration: Configuration) throws(ConfigError) {
        let config = try configuration.native(token: token)
        let transport = Host(configuration.transport ?? URLSessionTransport(), configuration.onConsent)
        do {
            native = try Client(config: config, transport: transport)
        } catch let RefrainFFI.ConfigError.Unusable(reason) {
            throw ConfigError(inSwiftsWords(reason))
        } catch {
            throw ConfigError("the client could not be made: \(error)")
        }
        door = native.door()
        filter = configuration.filter
        background = Background(native)
    }

    // MARK: - Recording

    /// Records an event.
    @discardableResult
    public func track(_ name: String, _ properties: Properties = [:]) -> Outcome {
        call(.track, name, properties)
    }

    /// The person is known as this user from now on.
    @discardableResult
    public func identify(_ userId: String) -> Outcome {
        call(.identify, userId)
    }

    /// A second name for whoever is known now. Means something where ``Configuration/idMerge`` is `original`.
    @discardableResult
    public func alias(_ alias: String) -> Outcome {
        call(.alias, alias)
    }

    /// Another person from now on: a new device id, no user, no super properties. The choice stays.
    @discardableResult
    public func reset() -> Outcome {
        call(.reset)
    }

    /// Another known person uses this device from now on: a new device id, so that the two are never joined, no super
    /// properties, and this user. The choice stays.
    @discardableResult
    public func switchUser(_ userId: String) -> Outcome {
        call(.switchUser, userId)
    }

    /// Adds properties to every later event; they yield to the event's own.
    @discardableResult
    public func register(_ properties: Properties) -> Outcome {
        call(.register, "", properties)
    }

    /// As ``register(_:)``, but only those that are not registered yet.
    @discardableResult
    public func registerOnce(_ properties: Properties) -> Outcome {
        call(.registerOnce, "", properties)
    }

    /// As ``register(_:)``, in memory only.
    @discardableResult
    public func registerForSession(_ properties: Properties) -> Outcome {
        call(.registerForSession, "", properties)
    }

    /// Forgets a property that was registered.
    @discardableResult
    public func unregister(_ name: String) -> Outcome {
        call(.unregister, name)
    }

    /// The next event of this name carries `$duration`: how many seconds it came after this call.
    @discardableResult
    public func timeEvent(_ name: String) -> Outcome {
        call(.timeEvent, name)
    }

    /// The profile of whoever is known at each of its calls.
    public func profile() -> Profile {
        Profile { self.call(.profile, "", $0) }
    }

    /// The profile of a group, such as `group("company", "acme")`.
    public func group(_ key: String, _ id: String) -> Profile {
        Profile { self.call(.group, "", $0, of: ["$group_key": key, "$group_id": id]) }
    }

    /// Later events are about this member of a group, and no other one of the same kind.
    @discardableResult
    public func setGroup(_ key: String, _ id: String) -> Outcome {
        call(.setGroup, key, id)
    }

    /// Later events are about this member of a group, too.
    @discardableResult
    public func addGroup(_ key: String, _ id: String) -> Outcome {
        call(.addGroup, key, id)
    }

    /// Later events are no longer about this member of a group.
    @discardableResult
    public func removeGroup(_ key: String, _ id: String) -> Outcome {
        call(.removeGroup, key, id)
    }

    // MARK: - The person's choice

    /// The person objects. When this returns, the choice is durable, what was collected and not sent is deleted, and
    /// no request starts any more, from this process or from another one on the same folder. It is carried out even
    /// where the task is cancelled.
    ///
    /// - Parameters:
    ///   - erase: also ask the server to erase what this device has sent under the id that it has now; those from
    ///     before a ``reset()``, a ``switchUser(_:)`` or an earlier objection are forgotten. Where a signal or a default
    ///     of "no" has purged the device already, there is none to name, and the server is asked for nothing. That takes
    ///     a ``Configuration/dataDir``: the request stands in the record until it is answered, and without one the server
    ///     is asked for nothing.
    ///   - deleteProfile: also ask the server to delete the profiles of this device and its user. That erases no
    ///     event, and takes a folder too.
    /// - Throws: ``ConsentError``, see its code; without a folder always `notRecorded`. Nothing is collected or sent
    ///   by this process all the same.
    public func optOut(erase: Bool = false, deleteProfile: Bool = false) async throws {
        try await decide { try $0.optOut(erase: erase, deleteProfile: deleteProfile) }
    }

    /// The person agrees. Nothing from before an objection comes back; the device gets a new id. It is carried out
    /// even where the task is cancelled.
    ///
    /// - Throws: ``ConsentError``: the choice could not be written, or was overruled; unless a refusal is on record, it
    ///   holds for this process all the same. So it does, and nothing is thrown, without a folder and over a record
    ///   that cannot be read, which stays as it is.
    public func optIn() async throws {
        try await decide { try $0.optIn() }
    }

    /// Where consent stands. Right after the start it waits for the folder to be read. Reading changes nothing.
    public func consent() -> Consent {
        Consent(native.consent())
    }

    /// Whether the person has objected. Waits as ``consent()`` does.
    public func hasOptedOut() -> Bool {
        consent().decision == .denied
    }

    /// What the environment says now, replacing what it said before. `true` means "do not track"; a choice of the
    /// person's outranks it.
    ///
    /// - Parameters:
    ///   - gpc: Global Privacy Control; a web backend passes on `Sec-GPC`.
    ///   - dnt: Do Not Track; a web backend passes on `DNT`.
    ///   - host: the app's own setting, or its platform's.
    public func signals(gpc: Bool = false, dnt: Bool = false, host: Bool = false) {
        native.signals(gpc: gpc, dnt: dnt, host: host)
    }

    // MARK: - Where things stand

    /// What became of every record since the client was made.
    public func stats() -> Stats {
        Stats(native.stats())
    }

    /// Everything that the client holds now, in the folder and in memory. After an objection: the consent record,
    /// erasures that were asked for, and nothing else. Looks at the disk.
    public func audit() -> Audit {
        Audit(native.audit())
    }

    /// Whom the records are about; `nil` while nothing may be collected. Waits as ``consent()`` does.
    public var distinctId: String? { native.distinctId() }

    /// The device's random id; `nil` while nothing may be collected. Waits as ``consent()`` does.
    public var deviceId: String? { native.deviceId() }

    // MARK: - Sending

    /// Sends what is queued, and waits for it.
    ///
    /// - Parameter timeout: how long is waited at most, in seconds.
    /// - Returns: `true` if in time nothing was left of what was queued at the call: every record was delivered, or
    ///   refused by the server and dropped; ``stats()`` tells which. So it is also `true` where nothing was queued,
    ///   as before a decision: what is held is not queued. `false` if the time was up or a request failed; what is
    ///   left is kept.
    @discardableResult
    public func flush(timeout: TimeInterval = 10) async -> Bool {
        let native = native
        return await waiting { native.flush(timeout: timeout) }
    }

    /// Sends what is queued, and what an objection has asked the server for, and ends the client. What could not be sent is
    /// kept in the folder for the next time. A command-line tool calls this before it ends.
    ///
    /// - Parameter timeout: how long is waited at most, in seconds.
    /// - Returns: as for ``flush(timeout:)``.
    @discardableResult
    public func close(timeout: TimeInterval = 5) async -> Bool {
        background?.end()
        let native = native
        return await waiting { native.shutdown(timeout: timeout) }
    }

    private func call(
        _ kind: Call, _ name: String = "", _ properties: Properties, of: [String: String] = [:]
    ) -> Outcome {
        guard name.utf8.count <= JSONText.maxBytes else { return tooLarge() }
        do {
            var text = JSONText(after: name)
            let nameBytes = text.count
            var record = try kept(kind, name, properties)
            // Whose they are is not for a filter to see or say.
            for (name, id) in of {
                record[name] = id
            }
            try text.append(record)
            return cross(kind, nameBytes, text)
        } catch {
            native.countRejected()
            return .rejected(reason: error.reason, hint: error.hint)
        }
    }

    /// What is to be recorded of properties.
    private func kept(_ kind: Call, _ name: String, _ properties: Properties) throws(Unusable) -> Properties {
        guard let filter else { return properties }
        let subject: Subject =
            switch kind {
            case .track: .event(name)
            case .profile, .group: .profile
            default: .registered
            }
        // What it sees is what is recorded, whatever a class says of itself the next time. What it cannot judge is not.
        let seen: Properties = properties.mapValues { value -> (any RefrainValue)? in value?.refrainValue }
        let kept: Properties?
        do {
            kept = try filter(subject, seen)
        } catch {
            let name = "\(type(of: error))"
            warnings.say("the filter that this app has set throws \(name); nothing of what it throws for is recorded")
            throw Unusable("filtered", "are not recorded: the filter that this app has set has thrown \(name)")
        }
        guard let kept else { throw Unusable("filtered", "are not wanted by the filter that this app has set") }
        return kept
    }

    private func call(_ kind: Call, _ name: String = "", _ id: String = "") -> Outcome {
        guard name.utf8.count <= JSONText.maxBytes, id.utf8.count <= JSONText.maxBytes else { return tooLarge() }
        var text = JSONText(after: name)
        let nameBytes = text.count
        text.append(id)
        return cross(kind, nameBytes, text)
    }

    private func cross(_ kind: Call, _ nameBytes: Int, _ text: borrowing JSONText) -> Outcome {
        guard let nameBytes = UInt32(exactly: nameBytes), let textBytes = UInt32(exactly: text.count) else {
            return tooLarge()
        }
        return Outcome(code: text.withBytes { refrain_call(door, kind.rawValue, nameBytes, textBytes, $0) })
    }

    private func tooLarge() -> Outcome {
        native.countRejected()
        return .rejected(reason: "too_large", hint: "a record has at most 1 MB; send less in one")
    }

    private func decide(_ decision: @escaping @Sendable (Client) throws -> Void) async throws {
        let native = native
        let result = await waiting { Result { try decision(native) } }
        do {
            try result.get()
        } catch let error as RefrainFFI.ConsentError {
            throw ConsentError(error)
        }
    }
}
