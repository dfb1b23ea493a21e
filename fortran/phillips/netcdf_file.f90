!! netCDF calls that end the run with one sentence when they fail.
module netcdf_file
  use, intrinsic :: iso_c_binding, only: c_char, c_int, c_null_char
  use netcdf, only: nf90_def_dim, nf90_def_var, nf90_global, nf90_noerr, nf90_put_att, nf90_strerror
  use failure, only: abort_run
  implicit none
  private
  public :: check, define_dimension, define_variable, describe, move, stamped

  interface
    function c_rename(old, new) bind(c, name='rename') result(status)
      import :: c_char, c_int
      character(kind=c_char), intent(in) :: old(*), new(*)
      integer(c_int) :: status
    end function c_rename
  end interface

contains

  !> Abort unless the call succeeded.
  subroutine check(status, path)
    integer, intent(in) :: status     !! of the netCDF call
    character(*), intent(in) :: path  !! the file, for the message

    if (status /= nf90_noerr) call abort_run('the file '//trim(path)//' cannot be written or read (' &
      //trim(nf90_strerror(status))//'): see to its folder, its disk space and that it is a file of this program.')
  end subroutine check

  !> A dimension's id.
  integer function define_dimension(file, path, name, length)
    integer, intent(in) :: file       !! netCDF id
    character(*), intent(in) :: path, name
    integer, intent(in) :: length     !! or nf90_unlimited

    call check(nf90_def_dim(file, name, length, define_dimension), path)
  end function define_dimension

  !> A variable's id, with the attributes that CF asks for.
  integer function define_variable(file, path, name, kind, dimensions, units, long_name, standard_name)
    integer, intent(in) :: file, kind, dimensions(:)
    character(*), intent(in) :: path, name, units, long_name
    character(*), intent(in), optional :: standard_name  !! where the CF table has one

    call check(nf90_def_var(file, name, kind, dimensions, define_variable), path)
    call check(nf90_put_att(file, define_variable, 'units', units), path)
    call check(nf90_put_att(file, define_variable, 'long_name', long_name), path)
    if (present(standard_name)) call check(nf90_put_att(file, define_variable, 'standard_name', standard_name), path)
  end function define_variable

  !> Say what the file is.
  subroutine describe(file, path, title)
    integer, intent(in) :: file
    character(*), intent(in) :: path, title

    call check(nf90_put_att(file, nf90_global, 'Conventions', 'CF-1.10'), path)
    call check(nf90_put_att(file, nf90_global, 'title', title), path)
    call check(nf90_put_att(file, nf90_global, 'source', 'two-layer Phillips model of parslflow'), path)
  end subroutine describe

  !> Give a whole file its name, in place of what has it.
  subroutine move(path, name)
    character(*), intent(in) :: path  !! of the closed file
    character(*), intent(in) :: name  !! its path from now on

    if (c_rename(path//c_null_char, trim(name)//c_null_char) /= 0) &
      call abort_run('the file '//path//' cannot be renamed to '//trim(name)//': see to that folder.')
  end subroutine move

  !> A path with the time before its ending: restart.nc becomes restart.0000010.00000.nc.
  pure function stamped(path, stamp) result(name)
    character(*), intent(in) :: path
    character(*), intent(in) :: stamp  !! of the state, as `model_state` gives it
    character(:), allocatable :: name
    integer :: dot

    dot = index(path, '.', back=.true.)
    if (dot <= index(path, '/', back=.true.)) dot = len_trim(path) + 1
    name = path(:dot - 1)//'.'//stamp//trim(path(dot:))
  end function stamped
end module netcdf_file
