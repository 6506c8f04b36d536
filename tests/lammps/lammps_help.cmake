# umas_lammps_read_help finds version and integers in what `lmp -help` prints, and
# umas_lammps_read_symbols the layout of strings in a library.  -D HELP_MODULE=... -D WORK=...

cmake_minimum_required(VERSION 3.25)
include("${HELP_MODULE}")

function(expect version number integers help)
    umas_lammps_read_help("${help}")
    set(found "${UMAS_LAMMPS_VERSION}, ${UMAS_LAMMPS_NUMBER}, ${UMAS_LAMMPS_INTEGERS}")
    if(NOT found STREQUAL "${version}, ${number}, ${integers}")
        message(SEND_ERROR "found '${found}', expected '${version}, ${number}, ${integers}' in\n${help}")
    endif()
endfunction()

set(title "\nLarge-scale Atomic/Molecular Massively Parallel Simulator - ")
set(flags "Active compile time flags:\n\n-DLAMMPS_GZIP\n")
expect("22 Jul 2025" 20250722 LAMMPS_SMALLBIG
       "${title}22 Jul 2025 - Update 4\nGit info\n${flags}-DLAMMPS_SMALLBIG\nsizeof(smallint): 32-bit\n")
expect("29 Aug 2024" 20240829 LAMMPS_BIGBIG
       "${title}29 Aug 2024\n${flags}-DLAMMPS_BIGBIG\nsizeof(smallint): 32-bit\n")
expect("4 Feb 2025" 20250204 "" "${title}4 Feb 2025 - Development\n${flags}-DLAMMPS_SMALLSMALL\n")
expect("" 0 "" "lmp: error while loading shared libraries\n")

function(expect_strings definition symbols)
    set(files "${WORK}/no-library")
    file(WRITE "${WORK}/no-library" "nothing of LAMMPS\n")
    foreach(symbol ${symbols})
        file(WRITE "${WORK}/library-${symbol}" "ELF\n_ZN3fmt3v10\n${symbol}\n")
        list(APPEND files "${WORK}/library-${symbol}")
    endforeach()
    umas_lammps_read_symbols("${files}")
    if(NOT UMAS_LAMMPS_STRINGS STREQUAL definition)
        message(SEND_ERROR "found '${UMAS_LAMMPS_STRINGS}', expected '${definition}' in ${symbols}")
    endif()
endfunction()

set(before "_ZN9LAMMPS_NS5Error3allERKSsiS2_")
set(now "_ZN9LAMMPS_NS5Error3allERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEiS8_")
expect_strings("_GLIBCXX_USE_CXX11_ABI=0" "${before}")
expect_strings("" "${now}")
expect_strings("" "${now};${before}")
expect_strings("" "")
