extension Refrain {
    /// Returns what is recorded in place of the properties. If it returns `nil` or throws, nothing is recorded and the
    /// call is rejected (`filtered`); the log names what it throws, once. Called on the recording thread, also for
    /// calls that are held until the person decides.
    public typealias Filter = @Sendable (_ subject: Subject, _ properties: Properties) throws -> Properties?

    /// What the properties passed to a ``Filter`` belong to.
    public enum Subject: Sendable, Hashable {
        /// An event of this name.
        case event(String)
        /// Properties that are registered for every later event.
        case registered
        /// Operators on a person's or a group's profile, such as
        case profile
    }
}
