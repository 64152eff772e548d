// SPDX-License-Identifier: BSD-3-Clause

extension ShmemDevice {
    /// Reports every change of a range, in all present and future regions. For a program that translates guest code, or
    /// has its own tables. The report comes after the change, and before the back-end gets its answer.
    ///
    /// - Parameter handler: called by any thread that maps or unmaps, with no lock held. It must not hold the device strongly.
    ///   nil: stop reporting.
    /// - Throws: EBUSY: something is mapped, and the handler would miss it.
    public func setChangeHandler(
        _ handler: (@Sendable (Region, RangeChange, MappingDescription) -> Void)?
    ) throws(ShmemError) {
        guard let handler else { return try watchChanges(nil) }
        try watchChanges { region, change, record in handler(region, change, region.describe(record)) }
    }
}
