import Foundation
internal import RefrainFFI

extension Refrain {
    /// A setting that cannot work.
    public struct ConfigError: LocalizedError, CustomStringConvertible, Hashable {
        /// Which one, and what to do about it.
        public let description: String

        init(_ description: String) {
            self.description = description
        }

        public var errorDescription: String? { description }
    }

    /// A decision that did not end as it should.
    public struct ConsentError: LocalizedError, CustomStringConvertible, Hashable {
        /// The ways in which a decision can fail.
        public enum Code: String, Sendable {
            /// Nothing durable was written; a refusal holds for this process all the same.
            case notRecorded
            /// A refusal was given elsewhere after this grant, and counts.
            case overruled
            /// The refusal is durable, but a sender did not let go in time.
            case notFenced
            /// The refusal is durable, but some data could not be deleted.
            case notPurged
        }

        /// What is not as it should be.
        public let code: Code
        /// In words.
        public let description: String

        public var errorDescription: String? { description }
    }
}

extension Refrain.ConsentError {
    init(_ error: RefrainFFI.ConsentError) {
        (code, description) =
            switch error {
            case let .NotRecorded(reason): (.notRecorded, reason)
            case let .Overruled(reason): (.overruled, reason)
            case let .NotFenced(reason): (.notFenced, reason)
            case let .NotPurged(reason): (.notPurged, reason)
            }
    }
}
