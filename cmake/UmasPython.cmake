# Packages from PyPI in a virtual environment of the build folder.
#
# umas_python_require(REQUIREMENT... [HINT TEXT]) installs what is not there yet; a list inside the
# environment remembers what is, so that configuring again costs nothing.  UMAS_PYTHON is the
# environment's interpreter and UMAS_PYTHON_SITE its package folder, both set by the first call.  It is
# run with -I: a PYTHONPATH, as that of pip when it builds the wheel, is not for it.

set(UMAS_VENV "${PROJECT_BINARY_DIR}/venv" CACHE PATH "Virtual environment for PyPI packages")
set(UMAS_PYTHON "${UMAS_VENV}/bin/python")

find_package(Python3 3.10 REQUIRED COMPONENTS Interpreter)

function(umas_python_create_venv)
    execute_process(COMMAND "${UMAS_PYTHON}" -I -m pip --version
                    RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
    if(NOT failed)
        return()
    endif()
    message(STATUS "Creating a Python environment in ${UMAS_VENV}")
    execute_process(COMMAND "${Python3_EXECUTABLE}" -m venv --clear "${UMAS_VENV}"
                    RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(failed)
        message(FATAL_ERROR "${Python3_EXECUTABLE} -m venv failed; on Debian and Ubuntu it needs "
                            "the package python3-venv.\n${output}")
    endif()
endfunction()

function(umas_python_require)
    cmake_parse_arguments(PARSE_ARGV 0 require "" "HINT" "")
    get_filename_component(parent "${UMAS_VENV}" DIRECTORY)
    file(MAKE_DIRECTORY "${parent}")
    file(LOCK "${UMAS_VENV}.lock" GUARD FUNCTION TIMEOUT 900)
    umas_python_create_venv()

    set(list "${UMAS_VENV}/umas-requirements.txt")
    set(installed "")
    if(EXISTS "${list}")
        file(STRINGS "${list}" installed)
    endif()
    set(missing ${require_UNPARSED_ARGUMENTS})
    list(REMOVE_ITEM missing ${installed})
    if(missing)
        list(JOIN missing ", " names)
        message(STATUS "Installing ${names} from PyPI into ${UMAS_VENV}")
        execute_process(COMMAND "${UMAS_PYTHON}" -I -m pip --disable-pip-version-check install --quiet
                                ${missing}
                        RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
        if(failed)
            message(FATAL_ERROR "pip could not install ${names}. ${require_HINT}\n${output}")
        endif()
        list(JOIN missing "\n" lines)
        file(APPEND "${list}" "${lines}\n")
    endif()
    if(NOT UMAS_PYTHON_SITE)
        execute_process(COMMAND "${UMAS_PYTHON}" -I -c
                                "import sysconfig; print(sysconfig.get_path('platlib'))"
                        OUTPUT_VARIABLE site OUTPUT_STRIP_TRAILING_WHITESPACE
                        COMMAND_ERROR_IS_FATAL ANY)
        set(UMAS_PYTHON_SITE "${site}" PARENT_SCOPE)
    endif()
endfunction()

# Unpack the sdist NAME-VERSION from PyPI to ${UMAS_VENV}/src/NAME-VERSION.
function(umas_python_fetch_source source)
    cmake_parse_arguments(PARSE_ARGV 1 fetch "" "HINT" "")
    umas_python_require() # makes the environment where it is missing
    file(LOCK "${UMAS_VENV}.lock" GUARD FUNCTION TIMEOUT 900)
    set(folder "${UMAS_VENV}/src")
    if(EXISTS "${folder}/${source}")
        return()
    endif()
    string(REGEX MATCH "^(.*)-([^-]*)$" matched "${source}")
    message(STATUS "Downloading ${source} from PyPI into ${folder}")
    execute_process(COMMAND "${UMAS_PYTHON}" -I -m pip --disable-pip-version-check download --quiet
                            --no-deps --no-binary "${CMAKE_MATCH_1}" --dest "${folder}"
                            "${CMAKE_MATCH_1}==${CMAKE_MATCH_2}"
                    RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(failed)
        message(FATAL_ERROR "pip could not download ${source}. ${fetch_HINT}\n${output}")
    endif()
    file(ARCHIVE_EXTRACT INPUT "${folder}/${source}.tar.gz" DESTINATION "${folder}")
endfunction()
