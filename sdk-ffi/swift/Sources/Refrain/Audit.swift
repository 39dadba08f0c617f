import Foundation
internal import RefrainFFI

extension Refrain {
    /// Everything that the client holds now, in memory and in its folder. After an objection that is the consent
    /// record, any erasures that were asked for, and nothing else.
    public struct Audit: Sendable, Hashable {
        /// The files of this project in the folder, except for empty ones that only serve as locks.
        public let files: [File]
        /// The device's random id.
        public let deviceId: String?
        /// The `distinct_id` that records carry.
        public let distinctId: String?
        /// The names of the registered properties.
        public let superProperties: [String]
        /// Events that are being timed.
        public let timers: UInt64
        /// Records waiting to be delivered.
        public let queuedRecords: UInt64
        /// Their bytes.
        public let queuedBytes: UInt64
        /// Calls waiting for a decision.
        public let heldRecords: UInt64
        /// Requests in progress.
        public let requestsInFlight: UInt64
        /// The number of seconds until the client next acts on its own.
        public let nextActionIn: TimeInterval?
        /// Erasures that were asked for.
        public let outbox: [Erasure]

        /// A file in the folder.
        public struct File: Sendable, Hashable {
            /// Its path in the folder.
            public let name: String
            /// What it holds: `consent` or `data`. `unlisted` is a file or folder that could not be inspected; it may
            /// hold anything.
            public let kind: String
            /// Its length; 0 if that is unknown.
            public let bytes: UInt64
        }

        /// Something that the server was asked to do as part of an objection. The proof that accompanies it is not
        /// shown.
        public struct Erasure: Sendable, Hashable {
            /// Its id.
            public let id: String
            /// `device` erases everything that carries the device's id. `profile` deletes the profiles of the device
            /// and its user, and erases no events.
            public let kind: String
            /// The withdrawn device.
            public let deviceId: String
            /// How far it has come: `requested`, `accepted`, `completed` or `refused`.
            public let state: String
            /// The server's last response, if it was a JSON object: its text, with the receipt at the end.
            public let answer: String?
        }
    }
}

extension Refrain.Audit {
    init(_ audit: RefrainFFI.Audit) {
        files = audit.files.map { File(name: $0.name, kind: $0.kind, bytes: $0.bytes) }
        deviceId = audit.deviceId
        distinctId = audit.distinctId
        superProperties = audit.superProperties
        timers = audit.timers
        queuedRecords = audit.queuedRecords
        queuedBytes = audit.queuedBytes
        heldRecords = audit.heldRecords
        requestsInFlight = audit.requestsInFlight
        nextActionIn = audit.nextActionIn
        outbox = audit.outbox.map {
            Erasure(id: $0.id, kind: $0.kind, deviceId: $0.deviceId, state: $0.state, answer: $0.answer)
        }
    }
}
