extension Refrain {
    /// What the environment says. `true` means "do not track". The person's own choice takes precedence.
    public struct Signals: Sendable, Hashable {
        /// Global Privacy Control; in a web backend, the header `Sec-GPC`.
        public var gpc: Bool
        /// Do Not Track; in a web backend, the header `DNT`.
        public var dnt: Bool
        /// The app's own setting, or its platform's.
        public var host: Bool

        /// Creates a set of signals. A signal that is left out is off.
        public init(gpc: Bool = false, dnt: Bool = false, host: Bool = false) {
            (self.gpc, self.dnt, self.host) = (gpc, dnt, host)
        }
    }
}
