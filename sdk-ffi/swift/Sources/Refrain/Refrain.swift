internal import CRefrain
import Foundation
internal import RefrainFFI

/// A client that records what happens, as far as the person's choice allows.
///
/// ```swift
/// let refrain = try Refrain.start(token: "project-token") {
///     $0.endpoint = "https://collector.example"
/// }
/// refrain.track("Opened the shop")                          // held in memory: nobody has decided yet
/// try await refrain.optIn()
/// refrain.track("Bought", ["item": "umbrella", "price": 12.5])
/// try await refrain.optOut(erase: true)                     // only the choice and the erasure request remain
/// ```
///
/// Calls that record never throw and never wait; they return what became of the call. One client is enough for a
/// process, may be used from any thread or task, and shares its folder with other processes; on Apple's phones and
/// tablets see ``Configuration/dataDir``.
///
/// A client that is released without ``close(timeout:)`` keeps what it has not sent in its folder.
public final class Refrain: Sendable {
    private let native: Client
    private let door: UInt64
    private let filter: Filter?
    private let warnings = Warnings()
    private let background: Background?

    /// Starts a client. Returns at once: files are read on one of the client's threads.
    ///
    /// - Parameters:
    ///   - token: the project's token.
    ///   - configure: changes the client's settings, see ``Configuration``.
    /// - Throws: ``ConfigError`` if a setting cannot work.
    public static func start(
        token: String,
        _ configure: (inout Configuration) -> Void = { _ in }
    ) throws(ConfigError) -> Refrain {
        var configuration = Configuration()
        configure(&configuration)
        return try Refrain(token, configuration)
    }

    /// The version of the library.
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

    /// From now on the person is known as this user.
    @discardableResult
    public func identify(_ userId: String) -> Outcome {
        call(.identify, userId)
    }

    /// Gives the current person a second name. It only has an effect if ``Configuration/idMerge`` is `original`.
    @discardableResult
    public func alias(_ alias: String) -> Outcome {
        call(.alias, alias)
    }

    /// Another person from now on: a new device id, no user, no super properties. The choice stays.
    @discardableResult
    public func reset() -> Outcome {
        call(.reset)
    }

    /// Another known person uses this device from now on. It gets a new device id, so that the two people are never
    /// joined, no super properties, and this user. The choice stays.
    @discardableResult
    public func switchUser(_ userId: String) -> Outcome {
        call(.switchUser, userId)
    }

    /// Adds properties to every later event. An event's own properties take precedence.
    @discardableResult
    public func register(_ properties: Properties) -> Outcome {
        call(.register, "", properties)
    }

    /// Like ``register(_:)``, but only for properties that are not registered yet.
    @discardableResult
    public func registerOnce(_ properties: Properties) -> Outcome {
        call(.registerOnce, "", properties)
    }

    /// Like ``register(_:)``, but in memory only.
    @discardableResult
    public func registerForSession(_ properties: Properties) -> Outcome {
        call(.registerForSession, "", properties)
    }

    /// Forgets a property that was registered.
    @discardableResult
    public func unregister(_ name: String) -> Outcome {
        call(.unregister, name)
    }

    /// Starts a timer: the next event of this name carries `$duration`, the number of seconds since this call.
    @discardableResult
    public func timeEvent(_ name: String) -> Outcome {
        call(.timeEvent, name)
    }

    /// The profile of the person who is current at each of its calls.
    public func profile() -> Profile {
        Profile { self.call(.profile, "", $0) }
    }

    /// The profile of a group, such as `group("company", "acme")`.
    public func group(_ key: String, _ id: String) -> Profile {
        Profile { self.call(.group, "", $0, of: ["$group_key": key, "$group_id": id]) }
    }

    /// Associates later events with this group, and with no other of the same kind.
    @discardableResult
    public func setGroup(_ key: String, _ id: String) -> Outcome {
        call(.setGroup, key, id)
    }

    /// Associates later events with this group too.
    @discardableResult
    public func addGroup(_ key: String, _ id: String) -> Outcome {
        call(.addGroup, key, id)
    }

    /// No longer associates later events with this group.
    @discardableResult
    public func removeGroup(_ key: String, _ id: String) -> Outcome {
        call(.removeGroup, key, id)
    }

    // MARK: - The person's choice

    /// The person objects. When this returns, the choice is durable, what was collected but not sent has been deleted,
    /// and no request with records starts any more, from this process or any other on the same folder. It runs to
    /// completion even if the task is cancelled.
    ///
    /// - Parameters:
    ///   - erase: also ask the server to erase what this device has sent under its current id. Ids from before a
    ///     ``reset()``, a ``switchUser(_:)`` or an earlier objection are forgotten. Where a signal or a default of "no"
    ///     has already purged the device, there is no id to name, and the server is not asked. This needs a
    ///     ``Configuration/dataDir``: the request stays in the consent record until it is answered, and without a
    ///     folder the server is not asked.
    ///   - deleteProfile: also ask the server to delete the profiles of this device and its user. This erases no
    ///     events, and needs a folder too.
    /// - Throws: ``ConsentError``, see its code; without a folder always `notRecorded`. Even so, nothing is collected
    ///   or sent by this process any more.
    public func optOut(erase: Bool = false, deleteProfile: Bool = false) async throws {
        try await decide { try $0.optOut(erase: erase, deleteProfile: deleteProfile) }
    }

    /// The person agrees. Nothing from before an objection comes back, and the device gets a new id. It runs to
    /// completion even if the task is cancelled.
    ///
    /// - Throws: ``ConsentError`` if the choice could not be written, or was overruled; unless a refusal is on record,
    ///   it holds for this process all the same. Without a folder, or over a record that cannot be read (which is left
    ///   as it is), it also holds for this process only, but nothing is thrown.
    public func optIn() async throws {
        try await decide { try $0.optIn() }
    }

    /// Where consent stands. Right after the start it waits for the folder to be read. Reading changes nothing.
    public func consent() -> Consent {
        Consent(native.consent())
    }

    /// Whether the person has objected. Waits like
    public func hasOptedOut() -> Bool {
        consent().decision == .denied
    }

    /// Sets what the environment says, replacing what it said before. `true` means "do not track". The person's own
    /// choice takes precedence.
    ///
    /// - Parameters:
    ///   - gpc: Global Privacy Control; in a web backend, the header `Sec-GPC`.
    ///   - dnt: Do Not Track; in a web backend, the header `DNT`.
    ///   - host: the app's own setting, or its platform's.
    public func signals(gpc: Bool = false, dnt: Bool = false, host: Bool = false) {
        native.signals(gpc: gpc, dnt: dnt, host: host)
    }

    // MARK: - Where things stand

    /// Counts what became of every record since the client was made.
    public func stats() -> Stats {
        Stats(native.stats())
    }

    /// Lists everything that the client holds now, in the folder and in memory. After an objection that is the consent
    /// record, any erasures that were asked for, and nothing else. Reads the disk.
    public func audit() -> Audit {
        Audit(native.audit())
    }

    /// The `distinct_id` that records carry; `nil` while nothing may be collected. Waits like ``consent()``.
    public var distinctId: String? { native.distinctId() }

    /// The device's random id; `nil` while nothing may be collected. Waits like ``consent()``.
    public var deviceId: String? { native.deviceId() }

    // MARK: - Sending

    /// Sends what is queued, and waits for it.
    ///
    /// - Parameter timeout: the longest to wait, in seconds.
    /// - Returns: `true` if everything that was queued at the call left the queue in time: each record was delivered,
    ///   or refused by the server and dropped; ``stats()`` tells which. It is also `true` if nothing was queued, as
    ///   before a decision: held calls are not queued. `false` if the time was up or a request failed; what is left is
    ///   kept.
    @discardableResult
    public func flush(timeout: TimeInterval = 10) async -> Bool {
        let native = native
        return await waiting { native.flush(timeout: timeout) }
    }

    /// Sends what is queued, and what an objection has asked the server for, and ends the client. What could not be
    /// sent is kept in the folder for next time. A command-line tool calls this before it ends.
    ///
    /// - Parameter timeout: the longest to wait, in seconds.
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
        return .rejected(reason: "too_large", hint: "a record may be at most 1 MB: split it")
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
