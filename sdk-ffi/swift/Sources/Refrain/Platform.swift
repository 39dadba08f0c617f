import Foundation

#if canImport(Darwin)
    /// `Refrain/data` in the app's own folder of Application Support, which apps without a sandbox share.
    let defaultDataDir: URL? = {
        let support = FileManager.default.urls(for: .applicationSupportDirectory, in: .userDomainMask).first
        let app = Bundle.main.bundleIdentifier.map { support?.appendingPathComponent($0, isDirectory: true) } ?? support
        return app?.appendingPathComponent("Refrain/data", isDirectory: true)
    }()

    /// Excludes `Refrain` from backups. That takes a folder which is there, so it is made, with nothing in it: `data`
    /// is the client's to make, once the person's choice allows it.
    func prepareDefaultDataDir() {
        guard var folder = defaultDataDir?.deletingLastPathComponent() else { return }
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        var excluded = URLResourceValues()
        excluded.isExcludedFromBackup = true
        try? folder.setResourceValues(excluded)
    }
#else
    let defaultDataDir: URL? = nil

    func prepareDefaultDataDir() {}
#endif

#if os(iOS) || os(tvOS) || os(watchOS) || os(visionOS)
    let defaultFlushInterval: TimeInterval? = 30
#else
    let defaultFlushInterval: TimeInterval? = nil
#endif
