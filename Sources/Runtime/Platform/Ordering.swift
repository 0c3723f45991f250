import CPlatform

/// Orderings between stores to memory that outlives the process.
package enum Ordering {
    /// Stores before stay before stores after, as a successor of this (killed) process sees them.
    @inline(__always) package static func compilerFence() { cp_compiler_fence() }

    /// A full fence between processors.
    @inline(__always) package static func fullFence() { cp_fence() }
}
