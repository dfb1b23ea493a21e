!! The whole prognostic state in a file, exact to the bit, for any number of ranks.
module restart
  use netcdf, only: nf90_clobber, nf90_close, nf90_create, nf90_double, nf90_enddef, nf90_get_att, nf90_get_var, &
    nf90_global, nf90_inq_varid, nf90_inquire_attribute, nf90_netcdf4, nf90_noerr, nf90_nowrite, nf90_open, &
    nf90_put_att, nf90_put_var
  use configuration, only: settings
  use constants, only: dp, halo, layers
  use domain, only: block
  use failure, only: stop_all
  use gather, only: whole_field
  use netcdf_file, only: check, define_dimension, define_variable, describe, move
  use state, only: model_state
  implicit none
  private
  public :: read_restart, write_restart

contains

  !> Write the state; collective. The file appears whole or not at all.
  subroutine write_restart(b, chosen, s, name)
    type(block), intent(in) :: b
    type(settings), intent(in) :: chosen
    type(model_state), intent(in) :: s
    character(*), intent(in) :: name  !! path of the file

    character(:), allocatable :: path
    integer :: id, dims(3), h, u, v, energy, du(2), dv(2), n

    path = trim(name)//'.part'
    if (b%rank == 0) then
      call check(nf90_create(path, ior(nf90_netcdf4, nf90_clobber), id), path)
      call describe(id, path, 'State of a two-layer Phillips flow')
      call check(nf90_put_att(id, nf90_global, 'dx', chosen%dx), path)
      call check(nf90_put_att(id, nf90_global, 'nx', chosen%nx), path)
      call check(nf90_put_att(id, nf90_global, 'ny', chosen%ny), path)
      call check(nf90_put_att(id, nf90_global, 'dt', chosen%dt), path)
      call check(nf90_put_att(id, nf90_global, 'time', s%time), path)
      call check(nf90_put_att(id, nf90_global, 'past', s%past), path)
      if (s%unsent) call check(nf90_put_att(id, nf90_global, 'unsent', 1), path)
      if (chosen%run /= '') then
        call check(nf90_put_att(id, nf90_global, 'run', trim(chosen%run)), path)
        call check(nf90_put_att(id, nf90_global, 'sent', s%sent), path)
      end if
      dims = [define_dimension(id, path, 'x', b%nx), define_dimension(id, path, 'y', b%ny), &
        define_dimension(id, path, 'layer', layers)]
      h = define('h', dims, 'm', 'layer thickness', 'cell_thickness')
      u = define('u', dims, 'm s-1', 'velocity along x on the eastern faces', 'sea_water_x_velocity')
      v = define('v', dims, 'm s-1', 'velocity along y on the northern faces', 'sea_water_y_velocity')
      energy = define('eddy_energy', dims(:2), 'm2 s-2', 'depth-mean eddy kinetic energy')
      du = [define('du_1', dims, 'm s-2', 'advective tendency of u, last step'), &
        define('du_2', dims, 'm s-2', 'advective tendency of u, last step but one')]
      dv = [define('dv_1', dims, 'm s-2', 'advective tendency of v, last step'), &
        define('dv_2', dims, 'm s-2', 'advective tendency of v, last step but one')]
      call check(nf90_enddef(id), path)
    end if
    call put(h, s%h)
    call put(u, s%u)
    call put(v, s%v)
    do n = 1, 2
      call put(du(n), s%du(:, :, :, s%order(n)))
      call put(dv(n), s%dv(:, :, :, s%order(n)))
    end do
    associate (whole => whole_field(b, s%eddy_energy))
      if (b%rank /= 0) return
      call check(nf90_put_var(id, energy, whole), path)
    end associate
    call check(nf90_close(id), path)
    call move(path, name)

  contains

    function define(name, dims, units, meaning, standard_name) result(variable)
      character(*), intent(in) :: name, units, meaning
      integer, intent(in) :: dims(:)
      character(*), intent(in), optional :: standard_name
      integer :: variable

      variable = define_variable(id, path, name, nf90_double, dims, units, meaning, standard_name)
    end function define

    subroutine put(variable, local)
      integer, intent(in) :: variable
      real(dp), intent(in), contiguous :: local(1 - halo:, 1 - halo:, :)
      integer :: k

      do k = 1, layers
        associate (whole => whole_field(b, local(:, :, k)))
          if (b%rank == 0) call check(nf90_put_var(id, variable, whole, start=[1, 1, k], &
            count=[b%nx, b%ny, 1]), path)
        end associate
      end do
    end subroutine put
  end subroutine write_restart

  !> Read this block's part of the state; halos are the caller's. With another time step than the file's, the
  !! tendencies of the past are of no use and are forgotten, and of another run than the stream's what it has sent.
  subroutine read_restart(b, chosen, s)
    type(block), intent(in) :: b
    type(settings), intent(in) :: chosen
    type(model_state), intent(inout) :: s

    character(:), allocatable :: path
    character(200) :: grids
    character(len(chosen%run)) :: run
    integer :: id, nx, ny, n
    real(dp) :: dx, dt

    path = trim(chosen%restart_in)
    if (nf90_open(path, nf90_nowrite, id) /= nf90_noerr) &
      call stop_all('the restart '//path//' cannot be read: give restart_in the path of a file that this program wrote.')
    if (any([nf90_get_att(id, nf90_global, 'nx', nx), nf90_get_att(id, nf90_global, 'ny', ny), &
      nf90_get_att(id, nf90_global, 'dx', dx), nf90_get_att(id, nf90_global, 'dt', dt), &
      nf90_get_att(id, nf90_global, 'time', s%time), nf90_get_att(id, nf90_global, 'past', s%past)] /= nf90_noerr)) &
      call stop_all('the file '//path//' is no restart: give restart_in the path of a file that this program wrote.')
    if (nx /= b%nx .or. ny /= b%ny .or. abs(dx - b%dx) > 0) then
      write (grids, '(2(i0, a, i0, a, f0.1, a))') nx, ' by ', ny, ' cells of ', dx, ' m, the namelist asks for ', &
        b%nx, ' by ', b%ny, ' of ', b%dx, ' m: set nx, ny and dx to the restart''s.'
      call stop_all('the restart '//path//' has '//trim(grids))
    end if
    if (abs(dt - chosen%dt) > 0) s%past = 0
    s%unsent = nf90_inquire_attribute(id, nf90_global, 'unsent') == nf90_noerr
    if (nf90_inquire_attribute(id, nf90_global, 'sent') == nf90_noerr) then
      run = ''
      call check(nf90_get_att(id, nf90_global, 'run', run), path)
      if (run == chosen%run) call check(nf90_get_att(id, nf90_global, 'sent', s%sent), path)
    end if

    call get('h', s%h)
    call get('u', s%u)
    call get('v', s%v)
    s%order = [1, 2, 3]
    do n = 1, 2
      call get('du_'//achar(iachar('0') + n), s%du(:, :, :, n))
      call get('dv_'//achar(iachar('0') + n), s%dv(:, :, :, n))
    end do
    call check(nf90_get_var(id, variable('eddy_energy'), s%eddy_energy(1:b%ni, 1:b%nj), &
      start=[b%i_offset + 1, b%j_offset + 1], count=[b%ni, b%nj]), path)
    call check(nf90_close(id), path)

  contains

    function variable(name) result(found)
      character(*), intent(in) :: name
      integer :: found

      call check(nf90_inq_varid(id, name, found), path)
    end function variable

    subroutine get(name, local)
      character(*), intent(in) :: name
      real(dp), intent(inout), contiguous :: local(1 - halo:, 1 - halo:, :)

      call check(nf90_get_var(id, variable(name), local(1:b%ni, 1:b%nj, :), &
        start=[b%i_offset + 1, b%j_offset + 1, 1], count=[b%ni, b%nj, layers]), path)
    end subroutine get
  end subroutine read_restart
end module restart
