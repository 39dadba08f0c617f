extension Refrain {
    /// What the environment says. `true` means "do not track"; a choice of the person's outranks it.
    public struct Signals: Sendable, Hashable {
        /// Global Privacy Control; a web backend passes on `Sec-GPC`.
        public var gpc: Bool
        /// Do Not Track; a web backend passes on `DNT`.
        public var dnt: Bool
        /// The app's own setting, or its platform's.
        public var host: Bool

        /// What is left out says nothing.
        public init(gpc: Bool = false, dnt: Bool = false, host: Bool = false) {
            (self.gpc, self.dnt, self.host) = (gpc, dnt, host)
        }
    }
}
