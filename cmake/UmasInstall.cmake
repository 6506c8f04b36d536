# The installed package: everything but the targets, which the folders install themselves.

include(CMakePackageConfigHelpers)
set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/umas")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/umasConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES cmake/umasConfig.cmake "${PROJECT_BINARY_DIR}/umasConfigVersion.cmake"
        DESTINATION "${package_folder}")
install(EXPORT umas NAMESPACE umas:: FILE umasTargets.cmake DESTINATION "${package_folder}")
install(FILES include/umas.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")

install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES potentials/student-SiO.safetensors
        DESTINATION "${CMAKE_INSTALL_DATADIR}/umas/potentials")
install(DIRECTORY examples/ DESTINATION "${CMAKE_INSTALL_DOCDIR}/examples"
        FILES_MATCHING PATTERN "in.*" PATTERN "data.*" PATTERN "plot_demo.py"
        PATTERN "README.md")
if(UMAS_BLAS_WHEEL)
    install(PROGRAMS "${UMAS_BLAS_WHEEL}" DESTINATION "${CMAKE_INSTALL_LIBDIR}/umas")
    install(FILES ${UMAS_BLAS_LICENSE} DESTINATION "${CMAKE_INSTALL_DOCDIR}"
            RENAME LICENSE.openblas)
endif()
if(UMAS_JSON_LICENSE)
    install(FILES "${UMAS_JSON_LICENSE}" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
endif()
