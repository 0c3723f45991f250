/// The version of the programs: that of the newest entry of `packaging/debian/changelog`.
package enum Version {
    package static let text = "0.1.0"
}
