import Foundation
internal import RefrainFFI

extension Refrain {
    /// What a client may be told at its start. What is not set has the default that stands here.
    public struct Configuration: Sendable {
        /// Where the collector is: `https://host` or `http://host:port`.
        public var endpoint: String?

        /// The folder for the person's choice and for what waits to be sent. Without one nothing survives the
        /// process, nothing is collected until ``Refrain/optIn()`` is called, and
        /// ``Refrain/optOut(erase:deleteProfile:)`` can ask for no erasure.
        ///
        /// On Apple's platforms it is `Refrain/data` in the app's folder of Application Support. `Refrain` is made at
        /// the start, empty, and excluded from backups: a backup that is restored must bring neither this device's id
        /// to another one, nor a choice or a record back that has been withdrawn since. Elsewhere there is none
        /// unless it is given.
        ///
        /// It must not be in an App Group container: a client holds a file lock in its folder as long as it lives, and iOS
        /// ends a suspended app that holds one in a shared container (`0xdead10cc`). An app and its extensions have a
        /// folder each.
        public var dataDir: URL? = defaultDataDir

        /// What holds while the person has not decided.
        public var defaultConsent: DefaultConsent = .pending

        /// Whether Global Privacy Control, see ``Refrain/signals(gpc:dnt:host:)``, is a "no" while the person has not
        /// decided.
        public var honorGpc = true

        /// The same for Do Not Track.
        public var honorDnt = true

        /// How long records are gathered before they are sent, in seconds: 5, on Apple's mobile platforms 30.
        public var flushInterval: TimeInterval? = defaultFlushInterval

        /// Records in one request at most.
        public var batchSize: Int?

        /// Bytes that may wait to be sent; above it the oldest records go, counted.
        public var queueLimitBytes: Int?

        /// How long a record may wait to be sent, in seconds.
        public var queueLimitAge: TimeInterval?

        /// How the project joins ids.
        public var idMerge: IdMerge = .simplified

        /// Names of properties that are never recorded, whoever sets them. Nested ones are not looked at.
        public var denyList: [String] = []

        /// What is done about personal data in properties, profiles and groups; not in names of events and user ids.
        public var personalData: PersonalDataMode = .off

        /// Names of properties and kinds of groups that may hold such data on purpose, such as `$email`.
        public var personalDataAllow: [String] = []

        /// What the environment says already, before anything is read or written. What it says later is for
        /// ``Refrain/signals(gpc:dnt:host:)``.
        public var signals = Signals()

        /// Sees the properties of everything that is about to be recorded, and says what is.
        public var filter: Filter?

        /// Hears where consent stands: once the folder has been read, and again whenever the decision or the verdict has
        /// changed, here or in another process. Called on a thread of the client's, for one change after the other; may call
        /// the client. As with ``transport``, that of the first client on a folder is used.
        public var onConsent: (@Sendable (Consent) -> Void)?

        /// Sends instead of `URLSession`. One serves all clients of a project on a folder: that of the first, and a
        /// later client's is not used.
        public var transport: (any HTTPTransport)?

        package init() {}
    }

    /// What holds while the person has not decided.
    public enum DefaultConsent: Sendable {
        /// Collect until the person objects.
        case granted
        /// Collect nothing until the person agrees.
        case denied
        /// Keep calls in memory, bounded, until the person decides.
        case pending
    }

    /// How the project at the collector joins ids.
    public enum IdMerge: Sendable {
        /// Records carry the device's and the user's id.
        case simplified
        /// An event of its own joins an anonymous id to a user.
        case original
    }

    /// What is done about e-mail addresses, card numbers, IBANs and JSON web tokens in what is recorded.
    public enum PersonalDataMode: Sendable {
        /// Nothing: they are not looked for.
        case off
        /// They are counted, see ``Stats/personalData``.
        case observe
        /// They are counted, and `[email]`, `[card]`, `[iban]` or `[jwt]` is recorded in their place.
        case redact
        /// They are counted, and the call is rejected.
        case reject
    }
}

extension Refrain.Configuration {
    func native(token: String) throws(Refrain.ConfigError) -> Config {
        Config(
            token: token,
            endpoint: endpoint,
            dataDir: try folder(),
            defaultConsent: defaultConsent.native,
            honorGpc: honorGpc,
            honorDnt: honorDnt,
            flushInterval: flushInterval,
            batchSize: try count("batchSize", batchSize),
            queueLimitBytes: try count("queueLimitBytes", queueLimitBytes),
            queueLimitAge: queueLimitAge,
            idMerge: idMerge == .simplified ? .simplified : .original,
            denyList: denyList,
            library: "refrain-swift",
            personalData: personalData.native,
            personalDataAllow: personalDataAllow,
            signals: RefrainFFI.Signals(gpc: signals.gpc, dnt: signals.dnt, host: signals.host)
        )
    }

    private func folder() throws(Refrain.ConfigError) -> String? {
        guard let dataDir else { return nil }
        guard dataDir.isFileURL else {
            throw Refrain.ConfigError(
                "dataDir must be the URL of a folder, such as URL(fileURLWithPath:), not \(dataDir)")
        }
        if dataDir == defaultDataDir { prepareDefaultDataDir() }
        return dataDir.path
    }

    private func count<Number: FixedWidthInteger>(_ setting: String, _ value: Int?) throws(Refrain.ConfigError)
        -> Number?
    {
        guard let value else { return nil }
        guard let number = Number(exactly: value) else {
            throw Refrain.ConfigError("\(setting) must be 0 or more, and at most \(Number.max), not \(value)")
        }
        return number
    }
}

/// The library speaks of settings by the words that all hosts share.
func inSwiftsWords(_ reason: String) -> String {
    [
        ("data_dir", "dataDir"), ("default_consent", "defaultConsent"), ("honor_gpc", "honorGpc"),
        ("honor_dnt", "honorDnt"),
        ("flush_interval", "flushInterval"), ("batch_size", "batchSize"), ("queue_limit_bytes", "queueLimitBytes"),
        ("queue_limit_age", "queueLimitAge"), ("id_merge", "idMerge"), ("deny_list", "denyList"),
        ("personal_data_allow", "personalDataAllow"), ("personal_data", "personalData"),
    ].reduce(reason) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
}

extension Refrain.DefaultConsent {
    fileprivate var native: RefrainFFI.DefaultConsent {
        switch self {
        case .granted: .granted
        case .denied: .denied
        case .pending: .pending
        }
    }
}

extension Refrain.PersonalDataMode {
    fileprivate var native: RefrainFFI.PersonalDataMode {
        switch self {
        case .off: .off
        case .observe: .observe
        case .redact: .redact
        case .reject: .reject
        }
    }
}
