extension Refrain {
    /// The profile of a person or a group. Each call is a record of its own, and like all recording calls it never
    /// throws and never waits.
    public struct Profile: Sendable {
        private let update: @Sendable (Properties) -> Outcome

        init(update: @escaping @Sendable (Properties) -> Outcome) {
            self.update = update
        }

        /// Sets properties.
        @discardableResult
        public func set(_ properties: Properties) -> Outcome {
            apply("$set", properties)
        }

        /// Sets those properties that are not set yet.
        @discardableResult
        public func setOnce(_ properties: Properties) -> Outcome {
            apply("$set_once", properties)
        }

        /// Adds numbers to properties; a missing property counts as 0. If the response to a request is lost, the
        /// request is sent again, and collectors do not tell the two apart.
        @discardableResult
        public func add(_ numbers: Properties) -> Outcome {
            apply("$add", numbers)
        }

        /// Appends a value to each of the named lists.
        @discardableResult
        public func append(_ values: Properties) -> Outcome {
            apply("$append", values)
        }

        /// Appends those values to each of the named lists that are not in it yet.
        @discardableResult
        public func union(_ lists: Properties) -> Outcome {
            apply("$union", lists)
        }

        /// Removes a value from each of the named lists.
        @discardableResult
        public func remove(_ values: Properties) -> Outcome {
            apply("$remove", values)
        }

        /// Removes properties.
        @discardableResult
        public func unset(_ names: String...) -> Outcome {
            unset(names)
        }

        /// Removes properties.
        @discardableResult
        public func unset(_ names: [String]) -> Outcome {
            apply("$unset", names)
        }

        /// Deletes the profile. This erases no events.
        @discardableResult
        public func delete() -> Outcome {
            apply("$delete", "")
        }

        private func apply(_ operation: String, _ properties: Properties) -> Outcome {
            apply(operation, Value.object(properties.mapValues { $0?.refrainValue ?? .null }))
        }

        private func apply(_ operation: String, _ value: some RefrainValue) -> Outcome {
            update([operation: value])
        }
    }
}
