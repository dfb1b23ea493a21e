!! netCDF calls that end the run with one sentence when they fail.
module netcdf_file
  use netcdf, only: nf90_def_dim, nf90_def_var, nf90_global, nf90_noerr, nf90_put_att, nf90_strerror
  use failure, only: abort_run
  implicit none
  private
  public :: check, define_dimension, define_variable, describe

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
end module netcdf_file
