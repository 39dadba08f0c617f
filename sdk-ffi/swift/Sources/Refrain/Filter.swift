extension Refrain {
    /// Says what is recorded in place of properties; `nil`, and where it throws: nothing, and the call is rejected
    /// (`filtered`); what it throws is named in the log, once. Called on the thread that records, also for what is held until the person decides.
    public typealias Filter = @Sendable (_ subject: Subject, _ properties: Properties) throws -> Properties?

    /// What the properties that a ``Filter`` sees belong to.
    public enum Subject: Sendable, Hashable {
        /// An event of this name.
        case event(String)
        /// They go with every later event.
        case registered
        /// Operators on a profile or on a group's profile, such as `["$set": …]`.
        case profile
    }
}
