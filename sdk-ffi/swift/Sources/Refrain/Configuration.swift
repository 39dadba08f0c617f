import Foundation
internal import RefrainFFI

extension Refrain {
    /// The settings of a client. A setting that is left alone has the default given here.
    public struct Configuration: Sendable {
        /// Where the collector is: `https://host` or `http://host:port`.
        public var endpoint: String?

        /// The folder that stores the person's choice and undelivered records. Without one nothing survives the
        /// process, nothing is collected until ``Refrain/optIn()`` is called, and
        /// ``Refrain/optOut(erase:deleteProfile:)`` cannot ask for erasure.
        ///
        /// On Apple's platforms it defaults to `Refrain/data` in the app's Application Support folder. `Refrain` is
        /// created at the start, empty, and excluded from backups: a restored backup must neither carry this device's
        /// id to another device, nor bring back a choice or a record that has been withdrawn since. Elsewhere there is
        /// no default.
        ///
        /// It must not be in an App Group container: a client holds a file lock in its folder for as long as it lives,
        /// and iOS kills a suspended app that holds one in a shared container (`0xdead10cc`). An app and its extensions
        /// each need a folder of their own.
        public var dataDir: URL? = defaultDataDir

        /// What applies until the person decides.
        public var defaultConsent: DefaultConsent = .pending

        /// Whether Global Privacy Control (see ``Refrain/signals(gpc:dnt:host:)``) counts as a "no" until the person
        /// decides.
        public var honorGpc = true

        /// Whether Do Not Track counts as a "no" until the person decides.
        public var honorDnt = true

        /// How long records are gathered before they are sent, in seconds: 5, on Apple's mobile platforms 30.
        public var flushInterval: TimeInterval? = defaultFlushInterval

        /// The maximum number of records in one request.
        public var batchSize: Int?

        /// The maximum size of the queue in bytes. Beyond it the oldest records are dropped, and counted.
        public var queueLimitBytes: Int?

        /// The maximum age of queued records, in seconds.
        public var queueLimitAge: TimeInterval?

        /// How the project merges ids.
        public var idMerge: IdMerge = .simplified

        /// What every event carries, such as the app's version. An event's own properties take precedence, and so do
        /// registered ones. They come from the app at every start, are kept with no profile, and are not shown to
        /// ``filter``; ``denyList`` and ``personalData`` apply. As they stand in every event, whoever it is about,
        /// nothing that tells people apart belongs here.
        public var automaticProperties: Properties = [:]

        /// Names of properties that are never recorded, no matter who sets them. Nested properties are not inspected.
        public var denyList: [String] = []

        /// What to do about personal data in properties, profiles and groups. Event names and user ids are not
        /// inspected.
        public var personalData: PersonalDataMode = .off

        /// Names of properties and kinds of groups that may contain such data on purpose, such as `$email`.
        public var personalDataAllow: [String] = []

        /// Signals that are known at the start, before anything is read or written. For later ones there is
        /// ``Refrain/signals(gpc:dnt:host:)``.
        public var signals = Signals()

        /// Sees all properties just before they are recorded, and decides what is recorded.
        public var filter: Filter?

        /// Called with the state of consent once the folder has been read, and again whenever the decision or the
        /// verdict changes, here or in another process. It runs on a thread of its own, for one change at a time, and
        /// may call the client. All clients of a project on one folder share that of the first.
        public var onConsent: (@Sendable (Consent) -> Void)?

        /// Replaces `URLSession`. All clients of a project on one folder share the transport of the first; a later
        /// client's is not used.
        public var transport: (any HTTPTransport)?

        package init() {}
    }

    /// What applies until the person decides.
    public enum DefaultConsent: Sendable {
        /// Collect until the person objects.
        case granted
        /// Collect nothing until the person agrees.
        case denied
        /// Keep a bounded number of calls in memory until the person decides.
        case pending
    }

    /// How the project at the collector merges ids.
    public enum IdMerge: Sendable {
        /// Records carry the device's and the user's id.
        case simplified
        /// A separate event joins an anonymous id to a user.
        case original
    }

    /// What to do about e-mail addresses, card numbers, IBANs and JSON web tokens in what is recorded.
    public enum PersonalDataMode: Sendable {
        /// Nothing; they are not looked for.
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
            automaticProperties: try text("automaticProperties", automaticProperties),
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

    private func text(_ setting: String, _ properties: Refrain.Properties) throws(Refrain.ConfigError) -> String {
        var text = JSONText(after: "")
        do {
            try text.append(properties)
        } catch {
            throw Refrain.ConfigError(error.hint(of: setting))
        }
        return text.string
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
        ("queue_limit_age", "queueLimitAge"), ("id_merge", "idMerge"),
        ("automatic_properties", "automaticProperties"), ("deny_list", "denyList"),
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
