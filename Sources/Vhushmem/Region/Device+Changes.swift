// SPDX-License-Identifier: BSD-3-Clause

extension ShmemDevice {
    /// Has every change of a range told, in all regions that there are and will be: for a program that translates what a guest runs, or keeps
    /// tables of its own. It is told once the range has changed, and before the back-end is answered.
    ///
    /// - Parameter handler: is called by any thread that maps or unmaps, with no lock held. It must not hold the device strongly. nil: nobody is
    ///   told any more.
    /// - Throws: EBUSY: something is mapped, of which nobody would be told.
    public func setChangeHandler(
        _ handler: (@Sendable (Region, RangeChange, MappingDescription) -> Void)?
    ) throws(ShmemError) {
        guard let handler else { return try watchChanges(nil) }
        try watchChanges { region, change, record in handler(region, change, region.describe(record)) }
    }
}
