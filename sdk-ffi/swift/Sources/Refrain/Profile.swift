extension Refrain {
    /// The profile of a person or a group. Each call is a record of its own; like all recording calls it never throws
    /// and never waits.
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

        /// Sets those of the properties that are not set yet.
        @discardableResult
        public func setOnce(_ properties: Properties) -> Outcome {
            apply("$set_once", properties)
        }

        /// Adds numbers to properties; what is not there counts as 0. A request whose answer was lost is sent again,
        /// and collectors do not tell the two apart.
        @discardableResult
        public func add(_ numbers: Properties) -> Outcome {
            apply("$add", numbers)
        }

        /// Appends a value to each of the lists named.
        @discardableResult
        public func append(_ values: Properties) -> Outcome {
            apply("$append", values)
        }

        /// Appends to each of the lists named what is not in it yet.
        @discardableResult
        public func union(_ lists: Properties) -> Outcome {
            apply("$union", lists)
        }

        /// Removes a value from each of the lists named.
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

        /// Deletes the profile. That erases no event.
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
