// swift-tools-version: 6.2
// An example is a package of its own: who depends on the library does not build it.

import PackageDescription

let package = Package(
    name: "swift-window",
    dependencies: [.package(name: "libvhushmem", path: "../..")],
    targets: [
        .executableTarget(
            name: "swift-window",
            dependencies: [.product(name: "Vhushmem", package: "libvhushmem")],
            path: ".",
            sources: ["SwiftWindow.swift"]
        )
    ]
)
