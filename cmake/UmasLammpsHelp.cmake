# What `lmp -help` says of a LAMMPS.  Sets
#   UMAS_LAMMPS_VERSION   its date as plugins are compared by, such as "22 Jul 2025", or ""
#   UMAS_LAMMPS_NUMBER    the same to compare by, such as 20250722
#   UMAS_LAMMPS_INTEGERS  LAMMPS_SMALLBIG or LAMMPS_BIGBIG, the macro that its integers depend on, or ""
function(umas_lammps_read_help help)
    set(UMAS_LAMMPS_VERSION "")
    set(UMAS_LAMMPS_NUMBER 0)
    set(UMAS_LAMMPS_INTEGERS "")
    if(help MATCHES "Simulator - ([0-9]+) (([A-Z][a-z][a-z])[a-z]*) ([0-9]+)")
        set(UMAS_LAMMPS_VERSION "${CMAKE_MATCH_1} ${CMAKE_MATCH_2} ${CMAKE_MATCH_4}")
        set(months Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)
        list(FIND months "${CMAKE_MATCH_3}" month)
        math(EXPR UMAS_LAMMPS_NUMBER
             "10000 * ${CMAKE_MATCH_4} + 100 * (${month} + 1) + ${CMAKE_MATCH_1}")
    endif()
    if(help MATCHES "-D(LAMMPS_(SMALLBIG|BIGBIG))[ \r\n]")
        set(UMAS_LAMMPS_INTEGERS "${CMAKE_MATCH_1}")
    endif()
    return(PROPAGATE UMAS_LAMMPS_VERSION UMAS_LAMMPS_NUMBER UMAS_LAMMPS_INTEGERS)
endfunction()

# How a LAMMPS was compiled to lay out std::string, from the names of functions in its program or
# library: wheels for old systems have g++'s layout of before C++11.  Sets
#   UMAS_LAMMPS_STRINGS   _GLIBCXX_USE_CXX11_ABI=0, or "" where that is not so, to compile with
function(umas_lammps_read_symbols files)
    set(UMAS_LAMMPS_STRINGS "")
    foreach(file ${files})
        file(STRINGS "${file}" symbol REGEX "^_ZN9LAMMPS_NS5Error3all" LIMIT_COUNT 1)
        if(symbol MATCHES "RKSs") # the name of std::string then has an abbreviation of its own
            set(UMAS_LAMMPS_STRINGS "_GLIBCXX_USE_CXX11_ABI=0")
        endif()
        if(symbol)
            break()
        endif()
    endforeach()
    return(PROPAGATE UMAS_LAMMPS_STRINGS)
endfunction()
