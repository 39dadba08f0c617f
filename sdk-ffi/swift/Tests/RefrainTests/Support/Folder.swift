import Foundation
import Refrain

/// A folder of a test's own that does not exist yet, and goes with it.
final class Folder: Sendable {
    /// Where it will stand.
    let above = FileManager.default.temporaryDirectory.appendingPathComponent("refrain-\(UUID().uuidString)")
    let url: URL

    init() {
        url = above.appendingPathComponent("refrain", isDirectory: true)
        try? FileManager.default.createDirectory(at: above, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: above)
    }

    var exists: Bool { FileManager.default.fileExists(atPath: url.path) }

    /// All files in it, with their bytes.
    func files() throws -> [URL: Data] {
        var files: [URL: Data] = [:]
        for case let file as URL in FileManager.default.enumerator(at: url, includingPropertiesForKeys: nil) ?? .init()
        {
            var isFolder: ObjCBool = false
            if FileManager.default.fileExists(atPath: file.path, isDirectory: &isFolder), !isFolder.boolValue {
                files[file] = try Data(contentsOf: file)
            }
        }
        return files
    }

    /// The names of the files whose bytes contain a text.
    func holds(_ planted: String) throws -> [String] {
        try files().filter { $0.value.range(of: Data(planted.utf8)) != nil }.map(\.key.lastPathComponent).sorted()
    }
}
