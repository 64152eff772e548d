// swift-tools-version: 6.2
// The Swift face of the library, and its unit tests. The C library that is installed comes from meson.build.

import PackageDescription

var swiftSettings: [SwiftSetting] = [
    // The compiler checks every @_cdecl function against the C headers.
    .enableExperimentalFeature("CImplementation"),
    // A token of a lock cannot be kept.
    .enableExperimentalFeature("Lifetimes"),
]

// In the library, what the compiler can't prove to be safe in memory says `unsafe`, and nothing else does. Tests may do what they like.
var librarySettings: [SwiftSetting] = [.strictMemorySafety()]

// The library's own tests make system calls fail. Who depends on the library has no such seam, in no kind of build: only our tests set this
// variable (scripts/testing/swift.py), and without it the tests of such failures are left out.
if Context.environment["VHUSHMEM_FAULT_INJECTION"] != nil {
    swiftSettings.append(.define("VHUSHMEM_FAULT_INJECTION"))
    librarySettings.append(.treatWarning("StrictMemorySafety", as: .error))
}

// The types of swift-system where the interface has numbers and strings, for who wants them. Without the trait swift-system is not fetched.
let swiftSystem = "SwiftSystem"

let package = Package(
    name: "libvhushmem",
    // Linux alone. There is no platform to name for that: Sources/CLinux/linux-shim.h says so where something else compiles it.
    products: [
        // With the C headers, for packages that are partly in C.
        .library(name: "Vhushmem", targets: ["Vhushmem", "CVhushmem"])
    ],
    traits: [
        .trait(name: swiftSystem, description: "Also takes and gives the FileDescriptor, FilePath and Errno of swift-system")
    ],
    dependencies: [.package(url: "https://github.com/apple/swift-system", from: "1.4.0")],
    targets: [
        // Not a systemLibrary: the headers include each other as <vhushmem/...>, which needs their folder in the search path.
        .target(
            name: "CVhushmem",
            dependencies: ["CGLib"],
            path: ".",
            sources: ["Sources/CVhushmem"],
            publicHeadersPath: "include"
        ),
        .systemLibrary(
            name: "CGLib",
            path: "Sources/CGLib",
            pkgConfig: "glib-2.0",
            providers: [.apt(["libglib2.0-dev"])]
        ),
        .systemLibrary(name: "CLinux", path: "Sources/CLinux"),
        .target(
            name: "Vhushmem",
            dependencies: [
                "CVhushmem", "CGLib", "CLinux",
                .product(name: "SystemPackage", package: "swift-system", condition: .when(traits: [swiftSystem])),
            ],
            path: "Sources/Vhushmem",
            swiftSettings: swiftSettings + librarySettings
        ),
        .testTarget(
            name: "VhushmemTests",
            dependencies: ["Vhushmem", "CVhushmem", "CGLib", "CLinux"],
            path: "Tests/VhushmemTests",
            swiftSettings: swiftSettings
        ),
    ]
)
